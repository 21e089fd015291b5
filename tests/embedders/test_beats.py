"""BEATs against its original."""

from pathlib import Path

import numpy as np
import pytest
import torch
from references import CLIPS, batch, every, fixtures, recipe_weights, relative

from thrum.embedders.beats import BEATs

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> BEATs:
    folder = tmp_path_factory.mktemp("beats")
    return BEATs(weights=recipe_weights(shared, folder, "beats", "beats_base"))


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, np.ndarray]:
    return fixtures(shared, "beats_base", "waveforms_16k")


@pytest.mark.parametrize("clip", ["tone", "machine"])
def test_filterbank_equals_kaldis(
    model: BEATs, reference: dict[str, np.ndarray], clip: str
) -> None:
    expected, step = every(reference, f"fbank_{clip}")
    found = model.filterbank(batch(reference[clip]))[0, ::step].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("clip", CLIPS)
def test_tokens_equal_the_original(
    model: BEATs, reference: dict[str, np.ndarray], clip: str
) -> None:
    audio = batch(reference[clip])
    expected, step = every(reference, f"features_{clip}")
    assert relative(model.tokens(audio)[0, ::step].detach(), expected) < 2e-5
    assert relative(model.scenes(audio)[0], reference[f"features_mean_{clip}"]) < 2e-5


def test_frames_are_the_means_of_eight_tokens(
    model: BEATs, reference: dict[str, np.ndarray]
) -> None:
    embeddings, times = model.frames(batch(reference["tone"]))
    expected = reference["features_tone"].reshape(6, 8, 768).mean(axis=1)
    assert relative(embeddings[0], expected) < 2e-5
    np.testing.assert_allclose(times[0], 0.0875 + 0.16 * np.arange(6), rtol=1e-6)


def test_long_sound_is_embedded_in_pieces(
    model: BEATs, reference: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BEATs, "piece_frames", 4)
    tone = batch(reference["tone"])  # six frames: a piece of four and one of two
    found = model.frames(tone)[0]
    first = model.frames(tone[:, : 4 * 2560 + 240])[0]
    second = model.frames(tone[:, 4 * 2560 :])[0]
    torch.testing.assert_close(found, torch.cat([first, second], dim=1), rtol=1e-4, atol=1e-4)
