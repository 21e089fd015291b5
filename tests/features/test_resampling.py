"""The resampler against resampy's output, a closed form, and itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from thrum.features.resampling import resample


def sine(hz: float, rate: int, seconds: float = 1.0) -> torch.Tensor:
    times = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    return torch.sin(2 * torch.pi * hz * times)[None]


@pytest.mark.data
@pytest.mark.parametrize("clip", ["tone", "machine", "clicks"])
@pytest.mark.parametrize("rate", [32000, 48000])
def test_equals_resampy(shared: Path, clip: str, rate: int) -> None:
    folder = shared / "fixtures/embedders"
    names = ("waveforms_32k", "waveforms_48k_machine", "waveforms_48k_tone_clicks")
    references = [np.load(folder / f"{name}.npz") for name in names]
    (expected,) = (
        reference[clip]
        for reference in references
        if clip in reference and len(reference[clip]) % rate == 0
        if len(reference[clip]) // rate == len(np.load(folder / "waveforms_16k.npz")[clip]) // 16000
    )
    audio = torch.from_numpy(np.load(folder / "waveforms_16k.npz")[clip] / np.float32(32768))
    found = resample(audio[None], 16000, rate)[0].numpy()
    assert np.linalg.norm(found - expected) < 2e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize(("rate", "wanted"), [(16000, 48000), (48000, 16000), (44100, 16000)])
def test_a_sine_stays_a_sine(rate: int, wanted: int) -> None:
    found = resample(sine(1000, rate), rate, wanted)[0]
    expected = sine(1000, wanted)[0]
    assert len(found) == len(expected)
    middle = slice(wanted // 10, -wanted // 10)
    # The table is read off in straight lines: 512 steps a zero crossing leave some 1e-6.
    assert (found - expected)[middle].abs().max() < 1e-4


def test_what_lies_above_the_new_band_goes() -> None:
    found = resample(sine(10000, 48000), 48000, 16000)[0]
    assert found[1600:-1600].abs().max() < 1e-4


def test_a_batch_and_odd_lengths_equal_one_by_one() -> None:
    audio = torch.randn(3, 1237, generator=torch.Generator().manual_seed(0))
    together = resample(audio, 16000, 48000)
    alone = torch.cat([resample(row[None], 16000, 48000) for row in audio])
    assert together.shape == (3, 3711)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_soxr_is_an_option() -> None:
    found = resample(sine(1000, 16000).float(), 16000, 32000, method="soxr")[0]
    expected = sine(1000, 32000)[0].float()
    assert (found - expected)[3200:-3200].abs().max() < 1e-4


def test_equal_rates_change_nothing() -> None:
    audio = sine(440, 16000)
    assert resample(audio, 16000, 16000) is audio
