"""The log-mel of the DCASE baselines against librosa's output."""

from pathlib import Path

import numpy as np
import pytest
import torch

from thrum.embedders.logmel import LogMel


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, np.ndarray]:
    folder = shared / "fixtures/embedders"
    return {**np.load(folder / "dcase_ae_logmel.npz"), **np.load(folder / "waveforms_16k.npz")}


@pytest.mark.data
@pytest.mark.parametrize("clip", ["tone", "machine", "clicks"])
def test_equals_librosa(reference: dict[str, np.ndarray], clip: str) -> None:
    audio = torch.from_numpy(reference[clip] / np.float32(32768))[None]
    expected = reference[f"logmel_zeropad_{clip}"].T  # (T, 128)
    levels, times = LogMel().frames(audio)
    audible = expected > -60
    assert levels.shape[1:] == expected.shape
    np.testing.assert_allclose(levels[0].numpy()[audible], expected[audible], rtol=0, atol=1e-3)
    np.testing.assert_allclose(times[0].numpy(), np.arange(len(expected)) * 0.032, rtol=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("clip", ["tone", "machine", "clicks"])
def test_reflected_ends_equal_librosa(reference: dict[str, np.ndarray], clip: str) -> None:
    audio = torch.from_numpy(reference[clip] / np.float32(32768))[None]
    frames = reference[f"logmel_reflect_{clip}_differing_frames"]
    if len(frames) == 0:
        pytest.skip(f"{clip} is silent at both ends")
    expected = reference[f"logmel_reflect_{clip}_values"].T
    levels = LogMel(padding="reflect").frames(audio)[0][0, frames].numpy()
    audible = expected > -60
    np.testing.assert_allclose(levels[audible], expected[audible], rtol=0, atol=1e-3)


@pytest.mark.data
def test_stacked_vectors_of_the_baseline(reference: dict[str, np.ndarray]) -> None:
    audio = torch.from_numpy(reference["machine"] / np.float32(32768))[None]
    levels = LogMel().frames(audio)[0][0]
    vectors = levels.unfold(0, 5, 1).transpose(1, 2).reshape(-1, 640)  # frame-major (T - 4, 5·128)
    expected = reference["vectors_zeropad_machine_rows_0_150_308"]
    audible = expected > -60
    found = vectors[[0, 150, 308]].numpy()
    np.testing.assert_allclose(found[audible], expected[audible], rtol=0, atol=1e-3)


def test_silence_is_at_the_floor() -> None:
    levels, _ = LogMel().frames(torch.zeros(1, 1600))
    np.testing.assert_allclose(levels.numpy(), 10 * np.log10(np.finfo(float).eps), rtol=1e-6)
