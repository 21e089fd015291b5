"""Recordings as they come: every good kind is read to the sample, every bad kind named."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thrum import audio
from thrum.errors import AudioError
from thrum.types import Clip

RATE = 16000


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 4).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_what_is_written_is_read_to_a_16_bit_step(tmp_path: Path, suffix: str, noise) -> None:
    path = tmp_path / f"clip{suffix}"
    audio.write(path, noise, RATE)
    samples, sample_rate = audio.read(path)
    assert sample_rate == RATE
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, noise, atol=0.5 / 32768)
    assert list(tmp_path.iterdir()) == [path]  # nothing temporary stays


def test_samples_are_rounded_and_clipped(tmp_path: Path) -> None:
    steps = np.array([-40000.0, -1.6, -1.4, -0.4, 0.4, 0.6, 1.4, 1.6, 32767.4, 40000.0])
    audio.write(tmp_path / "clip.wav", steps / 32768, RATE)
    written = audio.read(tmp_path / "clip.wav")[0] * 32768
    assert written.tolist() == [-32768, -2, -1, 0, 0, 1, 1, 2, 32767, 32767]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_is_read_on_the_same_scale(tmp_path: Path, subtype: str, noise) -> None:
    soundfile.write(tmp_path / "clip.wav", noise, 44100, subtype=subtype)
    samples, sample_rate = audio.read(tmp_path / "clip.wav")
    assert sample_rate == 44100
    np.testing.assert_allclose(samples, noise, atol=1 / 32768)


def test_channels_are_mixed_or_picked(tmp_path: Path) -> None:
    channels = np.linspace(-0.5, 0.5, 8) * np.ones((100, 1))  # (S, C)
    soundfile.write(tmp_path / "array.wav", channels, RATE, subtype="FLOAT")
    mixed, _ = audio.read(tmp_path / "array.wav")
    np.testing.assert_allclose(mixed, 0.0, atol=1e-7)
    for channel in range(8):
        picked, _ = audio.read(tmp_path / "array.wav", channel=channel)
        np.testing.assert_allclose(picked, channels[:, channel], rtol=1e-6)


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_that_is_not_there(tmp_path: Path, channel: int) -> None:
    audio.write(tmp_path / "stereo.wav", np.zeros((100, 2)), RATE)
    with pytest.raises(AudioError, match=f"has 2 channels, channel {channel} was asked for"):
        audio.read(tmp_path / "stereo.wav", channel=channel)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(rate: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    resampled = audio.resample(tone, rate, RATE)
    assert resampled.dtype == np.float32
    assert len(resampled) == RATE
    np.testing.assert_allclose(resampled[500:-500], wanted[500:-500], atol=1e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold() -> None:
    tone = np.sin(2 * np.pi * 12000 * np.arange(44100) / 44100).astype(np.float32)
    assert np.abs(audio.resample(tone, 44100, RATE)[500:-500]).max() < 1e-3


def test_a_clip_is_read_by_its_channel_at_the_rate_wanted(tmp_path: Path) -> None:
    stereo = np.stack([np.full(44100, 0.25), np.full(44100, -0.25)], axis=1)
    audio.write(tmp_path / "clip.wav", stereo, 44100)
    clip = Clip(tmp_path / "clip.wav", "fan", "id_00", "train", channel=1)
    samples = audio.read_clip(clip, sample_rate=RATE)
    assert len(samples) == RATE
    np.testing.assert_allclose(samples[500:-500], -0.25, atol=1e-3)


def test_a_row_of_features_is_no_recording(tmp_path: Path) -> None:
    clip = Clip(tmp_path / "fan.npz", "fan", "id_00", "train", row=("train_normal", 0))
    with pytest.raises(AudioError, match="precomputed"):
        audio.read_clip(clip, sample_rate=RATE)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("missing_bytes", [1, 1000])
def test_a_wav_that_is_cut_short(tmp_path: Path, subtype: str, missing_bytes: int, noise) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, noise, RATE, subtype=subtype)
    path.write_bytes(path.read_bytes()[:-missing_bytes])
    with pytest.raises(AudioError, match=r"cut\.wav is cut short: .* copy it again"):
        audio.read(path)


def test_a_flac_that_is_cut_short(tmp_path: Path, noise) -> None:
    path = tmp_path / "cut.flac"
    audio.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AudioError, match=r"cut\.flac .* copy it again"):
        audio.read(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_of_unknown_length_written_to_a_pipe_is_whole(
    tmp_path: Path, size: int, noise
) -> None:
    path = tmp_path / "piped.wav"
    audio.write(path, noise, RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    assert len(audio.read(path)[0]) == len(noise)


def test_chunks_before_and_after_the_sound_are_skipped(tmp_path: Path, noise) -> None:
    path = tmp_path / "chunks.wav"
    audio.write(path, noise, RATE)
    content = path.read_bytes()
    at = content.index(b"data")
    odd = b"note" + struct.pack("<I", 3) + b"abc\0"  # chunks are padded to an even length
    path.write_bytes(content[:at] + odd + content[at:] + odd)
    assert len(audio.read(path)[0]) == len(noise)
    path.write_bytes(content[:at] + odd + content[at:-10])
    with pytest.raises(AudioError, match="announces 10 bytes more"):
        audio.read(path)


@pytest.mark.parametrize("content", [b"", b"these are words", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_audio(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"text\.wav cannot be read as audio .* move it away"):
        audio.read(tmp_path / "text.wav")


def test_no_sound_at_all(tmp_path: Path) -> None:
    audio.write(tmp_path / "silent.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match="holds no sound"):
        audio.read(tmp_path / "silent.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float, noise) -> None:
    noise[[3, 5]] = value
    soundfile.write(tmp_path / "nan.wav", noise, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="holds 2 samples that are NaN or infinite"):
        audio.read(tmp_path / "nan.wav")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"no recording at .*gone\.wav"):
        audio.read(tmp_path / "gone.wav")


def test_what_cannot_be_written(tmp_path: Path, noise) -> None:
    with pytest.raises(AudioError, match=r"\.wav or \.flac"):
        audio.write(tmp_path / "clip.mp3", noise, RATE)
    assert list(tmp_path.iterdir()) == []
