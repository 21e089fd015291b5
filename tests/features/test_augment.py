from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from thrum.embedders.logmel import LogMel
from thrum.errors import ConfigError
from thrum.features.augment import KINDS, Augmentation, Strengths

RATE = 16000
LOGMEL = LogMel()
FILL = torch.full((128,), -40.0)


def hum(hz: float, seconds: float = 1.0) -> Tensor:
    time = torch.arange(int(seconds * RATE)) / RATE
    return 0.1 * torch.sin(2 * torch.pi * hz * time)


def kinds(*names: str) -> np.ndarray:
    return np.array([KINDS.index(name) for name in names])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def through(audio: Tensor, names: np.ndarray, strengths: Strengths | None = None) -> Tensor:
    """All of the way from waveforms (B, S) to levels (B, T, M)."""
    augmentation, random = Augmentation(strengths), generator()
    sound = augmentation.waveforms(audio, names, random)
    power = augmentation.spectra(LOGMEL.power(sound), names, random)
    return augmentation.levels(LOGMEL.levels(power), names, random, fill=FILL)


def test_every_kind_changes_its_row_and_no_other() -> None:
    audio = torch.randn(len(KINDS), RATE, generator=torch.Generator().manual_seed(0)) * 0.1
    plain = LOGMEL.levels(LOGMEL.power(audio))
    changed = through(audio, np.arange(len(KINDS)))
    torch.testing.assert_close(changed[0], plain[0])
    alone = Augmentation().levels_alone(plain, np.arange(len(KINDS)), generator(), fill=FILL)
    torch.testing.assert_close(alone[0], plain[0])
    for kind in range(1, len(KINDS)):
        for levels in (changed, alone):
            assert torch.isfinite(levels[kind]).all()
            difference = (levels[kind] - plain[kind]).abs()
            assert float(difference.mean()) > 0.5, KINDS[kind]


def test_the_generator_decides_everything() -> None:
    audio = torch.randn(len(KINDS), RATE, generator=torch.Generator().manual_seed(0))
    names = np.arange(len(KINDS))
    assert torch.equal(through(audio, names), through(audio, names))
    levels = LOGMEL.levels(LOGMEL.power(audio))
    one, same, other = (
        Augmentation().levels_alone(levels, names, generator(seed), fill=FILL) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("semitones", [3.0, 7.0])
def test_pitch_moves_a_tone_by_semitones(semitones: float) -> None:
    strengths = Strengths(pitch_semitones=(semitones, semitones))
    shifted = Augmentation(strengths).spectra(
        LOGMEL.power(hum(1000.0)[None]), kinds("pitch_shift"), generator()
    )
    hz = float(shifted[0].mean(dim=0).argmax()) * RATE / 1024
    wanted = [1000 * 2 ** (sign * semitones / 12) for sign in (1, -1)]
    assert min(abs(hz - one) for one in wanted) < RATE / 1024


def test_pitch_on_mel_bands_is_pitch_on_spectra() -> None:
    sound = hum(500.0) + hum(1700.0) + hum(3200.0)
    power = LOGMEL.power(sound[None])
    augmentation = Augmentation(Strengths(pitch_semitones=(4.0, 4.0)))
    exact = LOGMEL.levels(augmentation.spectra(power, kinds("pitch_shift"), generator()))
    alone = augmentation.levels_alone(
        LOGMEL.levels(power), kinds("pitch_shift"), generator(), fill=FILL
    )
    profiles = torch.stack([exact.mean(dim=1)[0], alone.mean(dim=1)[0]])
    assert float(torch.corrcoef(profiles)[0, 1]) > 0.98


def test_stretching_brings_a_beat_earlier_or_later() -> None:
    pulses = torch.zeros(1, 4 * RATE)
    pulses[0, RATE] = 1.0  # at 1 s
    power = LOGMEL.power(pulses)
    stretched = Augmentation(Strengths(stretch=(1.25, 1.25))).spectra(
        power, kinds("time_stretch"), generator()
    )
    seconds = float(stretched[0].sum(dim=1).argmax()) * LogMel.hop_seconds
    assert min(abs(seconds - 0.8), abs(seconds - 1.25)) < 2 * LogMel.hop_seconds


def test_a_shift_in_time_loses_nothing() -> None:
    audio = torch.arange(1.0, 101.0)[None]
    shifted = Augmentation(Strengths(time_shift=(0.25, 0.25))).waveforms(
        audio, kinds("time_shift"), generator()
    )
    assert torch.equal(shifted[0], audio[0].roll(25))


def test_fades_begin_and_end_in_silence() -> None:
    faded = Augmentation(Strengths(fade=(0.5, 0.5))).waveforms(
        torch.ones(1, 101), kinds("fade"), generator()
    )
    assert faded[0, 0] == faded[0, -1] == 0
    assert float(faded[0, 50]) == pytest.approx(50 / 50.5)
    assert float(faded[0, 10]) == pytest.approx(10 / 50.5)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_noise_has_the_power_asked_for(snr_db: float) -> None:
    audio = hum(440.0)[None]
    augmentation = Augmentation(Strengths(noise_snr_db=(snr_db, snr_db)))
    noise = augmentation.waveforms(audio, kinds("white_noise"), generator()) - audio
    ratio = audio.square().mean() / noise.square().mean()
    assert float(10 * ratio.log10()) == pytest.approx(snr_db, abs=0.2)


def test_noise_on_mel_bands_is_noise_on_the_waveform() -> None:
    """A flat floor at the same level, whichever way it came."""
    audio = torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(0)) * 0.05
    quiet = torch.fft.irfft(torch.fft.rfft(audio) * (torch.arange(RATE + 1) < 2000))  # below 1 kHz
    augmentation = Augmentation(Strengths(noise_snr_db=(5.0, 5.0)))
    exact = through(quiet, kinds("white_noise"), augmentation.strengths)
    alone = augmentation.levels_alone(
        LOGMEL.levels(LOGMEL.power(quiet)), kinds("white_noise"), generator(), fill=FILL
    )
    floors = [float(10 * (10 ** (one[0, :, 60:] / 10)).mean().log10()) for one in (exact, alone)]
    assert floors[0] == pytest.approx(floors[1], abs=1)
    assert alone[0, :, 60:].std(dim=0).mean() > 1


def test_masks_hide_a_span_behind_what_is_usual() -> None:
    strengths = Strengths(time_mask=(0.25, 0.25), frequency_mask=(0.5, 0.5))
    fill = torch.arange(10.0)
    levels = torch.full((2, 8, 10), -1.0)
    masked = Augmentation(strengths).levels(
        levels, kinds("time_mask", "frequency_mask"), generator(), fill=fill
    )
    in_time = (masked[0] == fill).all(dim=1)
    assert int(in_time.sum()) == 2
    assert torch.equal(masked[0][~in_time], levels[0][~in_time])
    in_frequency = (masked[1] == fill).all(dim=0)
    assert int(in_frequency.sum()) == 5
    assert torch.equal(masked[1][:, ~in_frequency], levels[1][:, ~in_frequency])


def test_one_frame_and_few_bands_are_enough() -> None:
    levels = torch.randn(len(KINDS), 1, 3)
    names = np.arange(len(KINDS))
    changed = Augmentation().levels_alone(levels, names, generator(), fill=torch.zeros(3))
    assert torch.isfinite(changed).all()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"pitch_semitones": (4.0, 1.0)}, "pitch_semitones is 4.0 to 1.0, wanted a rising range"),
        ({"stretch": (0.0, 0.0)}, r"stretch is 0.0 to 0.0, wanted .* within 0.1 to 10.0"),
        ({"time_mask": (0.1, 1.5)}, r"time_mask is 0.1 to 1.5, wanted .* within 0.0 to 1.0"),
        ({"noise_snr_db": (0.0, float("nan"))}, "noise_snr_db is 0.0 to nan"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(
    setting: dict[str, tuple[float, float]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Strengths(**setting)
