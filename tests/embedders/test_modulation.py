"""Our own embedder: its weights are there, small, whole, and it frames as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from thrum import storage
from thrum.datasets.synthetic import Condition, draw_machine, simulate
from thrum.embedders import create_embedder
from thrum.embedders.logmel import LogMel
from thrum.embedders.modulation import WEIGHTS, Modulation
from thrum.errors import StorageError


def test_the_weights_fit_the_package() -> None:
    assert WEIGHTS.stat().st_size <= 4e6
    tensors, _ = storage.load_tensors(WEIGHTS)
    assert 1e6 <= sum(tensor.numel() for tensor in tensors.values()) <= 2e6


def test_ten_seconds_give_frames_of_two_every_quarter() -> None:
    embeddings, times = create_embedder("modulation").frames(torch.rand(1, 160000) - 0.5)
    assert embeddings.shape == (1, 32, 192)  # 313 spectra, 64 at a time, every 8
    torch.testing.assert_close(times[0, :2], torch.tensor([1.008, 1.264]))


def test_stored_spectra_give_what_their_sound_gives() -> None:
    embedder, audio = Modulation(), torch.rand(2, 80000) - 0.5
    levels, _ = LogMel().frames(audio)
    assert torch.equal(embedder.from_logmel(levels), embedder.frames(audio)[0])


def test_many_windows_are_embedded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = torch.rand(1, 80000) - 0.5
    whole = Modulation().frames(audio)[0]
    monkeypatch.setattr("thrum.embedders.modulation.WINDOWS_AT_ONCE", 3)
    torch.testing.assert_close(Modulation().frames(audio)[0], whole, rtol=1e-4, atol=1e-5)


def test_recordings_of_one_machine_lie_closer_than_those_of_two() -> None:
    sounds = [
        simulate(draw_machine("gearbox", index, seed=5), Condition(80, 60), seed=seed, snr_db=12)
        for index in (0, 1)
        for seed in (0, 1)
    ]
    scenes = Modulation().scenes(torch.from_numpy(np.stack(sounds)))[:, 128:]  # the learnt part
    distances = torch.cdist(scenes, scenes)
    assert max(distances[0, 1], distances[2, 3]) < distances[:2, 2:].min()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "modulation.safetensors"
    broken.write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(StorageError, match="not a safetensors file"):
        Modulation(weights=broken)


def test_the_settings_name_the_weights() -> None:
    assert Modulation().settings["weights"] == storage.sha256(WEIGHTS)
