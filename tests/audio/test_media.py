"""m4a, mp4, mkv and webm by PyAV."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from thrum import audio
from thrum.datasets import open_dataset
from thrum.errors import AudioError

KINDS = {"m4a": "aac", "mp4": "aac", "mkv": "pcm_s16le", "webm": "libopus", "mov": "pcm_s16le"}
RATE = 48000


def write(path: Path, codec: str, *, seconds: float = 2.0, channels: int = 1) -> np.ndarray:
    av = pytest.importorskip("av", reason="PyAV is not installed (extra media)")
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.stack([0.2 * np.sin(2 * np.pi * 440 * (1 + c) * time) for c in range(channels)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        layout = "mono" if channels == 1 else "stereo"
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32), format="fltp", layout=layout)
        frame.rate = RATE
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout=layout,
            rate=RATE,
            frame_size=stream.codec_context.frame_size or None,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return sound


@pytest.mark.parametrize(("kind", "codec"), KINDS.items())
def test_sound_of_each_kind(tmp_path: Path, kind: str, codec: str) -> None:
    path = tmp_path / f"a.{kind}"
    (sound,) = write(path, codec)
    samples, rate = audio.read(path)
    assert rate == RATE
    assert abs(len(samples) - len(sound)) <= 2048  # codecs pad at both ends
    middle = samples[RATE // 2 : RATE * 3 // 2]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) == 440  # one second: a bin a hertz
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.2 / np.sqrt(2), rel=0.05)
    described = audio.describe(path)
    assert (described.samples, described.channels) == (len(samples), 1)


def test_channels_are_kept_apart(tmp_path: Path) -> None:
    write(tmp_path / "a.mkv", "pcm_s16le", channels=2)
    right, _ = audio.read(tmp_path / "a.mkv", channel=1)
    assert np.argmax(np.abs(np.fft.rfft(right[:RATE]))) == 880


@pytest.mark.parametrize("kind", ["m4a", "mkv", "webm"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_cut_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / f"cut.{kind}"
    write(path, KINDS[kind])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AudioError, match=rf"cut\.{kind} (is cut short|cannot be read)"):
        audio.read(path)


def test_long_ones_are_cut_into_clips(tmp_path: Path) -> None:
    path = tmp_path / "press" / "long.m4a"
    write(path, "aac", seconds=32.0)
    clips = open_dataset(tmp_path).clips
    assert len(clips) == 4
    whole, _ = audio.read(path)
    for clip in reversed(clips):
        start = round(clip.stretch[0] * RATE)
        part = audio.read_clip(clip, sample_rate=RATE)
        np.testing.assert_array_equal(part, whole[start : start + 10 * RATE])


def test_without_pyav_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"a\.m4a wants PyAV.*pip install 'thrum\[media\]'"):
        audio.read(tmp_path / "a.m4a")
