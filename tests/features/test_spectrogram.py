"""Frames, spectra and mel bands against numpy, closed forms and the reference outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from thrum.features.framing import frame, frame_centred, pad_to_length
from thrum.features.spectrogram import (
    decibels,
    hz_to_mel,
    mel_filterbank,
    mel_to_hz,
    power_spectrum,
)


def test_frames_are_the_slices() -> None:
    audio = torch.arange(20.0)[None]
    frames = frame(audio, length=6, hop=4)
    assert frames.tolist() == [[list(range(i, i + 6)) for i in (0, 4, 8, 12)]]


def test_centred_frames_begin_half_a_frame_before_the_sound() -> None:
    audio = torch.arange(1.0, 9.0)[None]
    zeros = frame_centred(audio, length=4, hop=2)
    mirrored = frame_centred(audio, length=4, hop=2, padding="reflect")
    assert zeros.shape == (1, 5, 4)
    assert zeros[0, 0].tolist() == [0, 0, 1, 2]
    assert mirrored[0, 0].tolist() == [3, 2, 1, 2]
    assert torch.equal(zeros[0, 1:4], mirrored[0, 1:4])


def test_padding_only_lengthens() -> None:
    audio = torch.ones(2, 5)
    assert pad_to_length(audio, 8)[0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert pad_to_length(audio, 4) is audio


def test_power_spectrum_is_the_squared_fourier_transform() -> None:
    frames = np.random.default_rng(0).standard_normal((3, 400))
    window = np.hanning(400)
    expected = np.abs(np.fft.rfft(frames * window, n=512)) ** 2
    power = power_spectrum(torch.from_numpy(frames), window=torch.from_numpy(window), fft_size=512)
    np.testing.assert_allclose(power.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_mel_scales_at_known_points_and_back() -> None:
    assert hz_to_mel(1000.0, "htk") == pytest.approx(999.9855)
    assert hz_to_mel(1000.0, "slaney") == pytest.approx(15.0)
    assert hz_to_mel(6400.0, "slaney") == pytest.approx(42.0)
    hz = np.linspace(0, 8000, 50)
    for scale in ("htk", "slaney"):
        np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, atol=1e-9)


def test_triangles_of_unit_area_integrate_to_one() -> None:
    bank = mel_filterbank(
        sample_rate=16000,
        fft_size=16384,
        bands=20,
        low_hz=300.0,
        high_hz=8000.0,
        scale="slaney",
        unit_area=True,
    )
    np.testing.assert_allclose(bank.sum(0).numpy() * 16000 / 16384, 1.0, rtol=1e-3)


def test_decibels_have_a_floor() -> None:
    levels = decibels(torch.tensor([0.0, 1e-3, 1.0, 100.0]), floor=1e-10)
    np.testing.assert_allclose(levels.numpy(), [-100, -30, 0, 20], atol=1e-4)


@pytest.mark.data
def test_slaney_filterbank_equals_librosa(shared: Path) -> None:
    reference = np.load(shared / "fixtures/embedders/dcase_ae_logmel.npz")["mel_filterbank"]
    bank = mel_filterbank(
        sample_rate=16000,
        fft_size=1024,
        bands=128,
        low_hz=0.0,
        high_hz=8000.0,
        scale="slaney",
        unit_area=True,
    )
    np.testing.assert_allclose(bank.numpy().T, reference, rtol=1e-6, atol=1e-9)


@pytest.mark.data
def test_htk_filterbank_equals_tensorflow(shared: Path) -> None:
    reference = np.load(shared / "fixtures/embedders/yamnet.npz")["mel_matrix"]
    bank = mel_filterbank(
        sample_rate=16000,
        fft_size=512,
        bands=64,
        low_hz=125.0,
        high_hz=7500.0,
        scale="htk",
        triangles_in="mel",
    )
    # TensorFlow computes the corners in float32, whose steps near 2800 mel are 2e-4.
    np.testing.assert_allclose(bank.numpy(), reference, rtol=0, atol=1e-5)
