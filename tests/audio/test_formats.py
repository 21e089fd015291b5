"""Every format is read whole or refused; lengths that lie are put right and said."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import broken
import numpy as np
import pytest
import soundfile

from thrum import audio
from thrum.errors import AudioError


def save(tmp_path: Path, content: bytes, name: str) -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def suffix(name: str) -> str:
    return name.rpartition(".")[2]


@pytest.mark.parametrize("name", broken.FORMATS)
def test_whole_files_of_every_format(tmp_path: Path, name: str) -> None:
    content = broken.content_of(name)
    path = save(tmp_path, content, f"a.{suffix(name)}")
    wanted, rate = soundfile.read(io.BytesIO(content), frames=2 * broken.SAMPLES, dtype="float32")
    samples, its_rate = audio.read(path)
    assert its_rate == rate
    np.testing.assert_allclose(samples, wanted, atol=1e-6)
    described = audio.describe(path)
    assert (described.samples, described.channels, described.notes) == (len(samples), 1, ())


@pytest.mark.parametrize("name", broken.FORMATS)
@pytest.mark.parametrize("share", [0.12, 0.5, 0.95])
def test_a_cut_file_of_any_format_is_refused(tmp_path: Path, name: str, share: float) -> None:
    content = broken.content_of(name)
    for called in (suffix(name), "wav"):
        path = save(tmp_path, content[: int(len(content) * share)], f"cut.{called}")
        with pytest.raises(AudioError, match=r"cut\..*(cut short|cannot be read|damaged)"):
            audio.read(path)


@pytest.mark.parametrize("name", broken.FORMATS)
def test_sound_under_another_formats_name_is_read_and_said(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, broken.content_of(name), "a.caf" if suffix(name) == "wav" else "a.wav")
    assert len(audio.read(path)[0]) >= broken.SAMPLES
    notes = audio.describe(path).notes
    if name == "rf64":  # which files called .wav may well be
        assert notes == ()
    else:
        assert f"it is called {path.suffix} and holds" in notes[0]


def size_field(name: str, content: bytes) -> tuple[int, str]:
    """Return where the number of bytes of sound stands and how it is written."""
    if name == "w64":
        return content.index(b"data\xf3\xac") + 16, "<Q"
    if name == "rf64":
        return content.index(b"ds64") + 16, "<Q"
    if name == "aiff":
        return content.index(b"SSND") + 4, ">I"
    if name == "caf":
        return content.index(b"data") + 4, ">Q"
    return (8, ">I") if name == "au" else (content.index(b"data") + 4, "<I")


SIZED = ["wav", "float.wav", "wavex.wav", "gsm.wav", "rf64", "w64", "aiff", "caf", "au"]


@pytest.mark.parametrize("name", SIZED)
def test_a_header_that_was_never_finished(tmp_path: Path, name: str) -> None:
    content = bytearray(broken.content_of(name))
    at, form = size_field(name, content)
    head = 24 if name == "w64" else 0  # which counts itself in
    content[at : at + struct.calcsize(form)] = struct.pack(form, head)
    whole, _ = audio.read(save(tmp_path, broken.content_of(name), f"whole.{suffix(name)}"))
    path = save(tmp_path, content, f"power.{suffix(name)}")
    np.testing.assert_array_equal(audio.read(path)[0], whole)
    assert "never finished" in audio.describe(path).notes[0]


@pytest.mark.parametrize("name", ["wav", "float.wav", "wavex.wav", "w64", "aiff", "caf", "au"])
def test_a_header_that_announces_less_than_there_is(tmp_path: Path, name: str) -> None:
    content = bytearray(broken.content_of(name))
    at, form = size_field(name, content)
    width = struct.calcsize(form)
    (size,) = struct.unpack(form, content[at : at + width])
    content[at : at + width] = struct.pack(form, size // 10 // 8 * 8)
    whole, _ = audio.read(save(tmp_path, broken.content_of(name), f"whole.{suffix(name)}"))
    path = save(tmp_path, content, f"less.{suffix(name)}")
    np.testing.assert_array_equal(audio.read(path)[0], whole)
    assert "are there; read to the end" in audio.describe(path).notes[0]


def test_a_wav_beyond_four_gigabytes_counts_from_the_start_again(tmp_path: Path) -> None:
    path = tmp_path / "day.wav"
    samples = (1 << 31) + 5000  # of two bytes: the size wraps to 10,000
    soundfile.write(path, np.zeros(0, np.int16), 48000, subtype="PCM_16")
    with path.open("r+b") as file:
        file.seek(40)
        file.write(struct.pack("<I", 2 * samples % (1 << 32)))
        file.seek(44 + 10000)
        file.write(b"\1\1")
        file.seek(44 + 2 * samples - 2)  # between, the file has a hole: it takes no room
        file.write(b"\1\1")
    described = audio.describe(path)
    assert described.samples == samples
    assert "announces 10000 bytes of sound" in described.notes[0]
    end, _ = audio.read(path, stretch=((samples - 4800) / 48000, 0.1))
    assert np.flatnonzero(end).tolist() == [4799]


def test_a_flac_that_does_not_know_its_length(tmp_path: Path) -> None:
    content = bytearray(broken.content_of("flac"))
    whole, _ = audio.read(save(tmp_path, content, "whole.flac"))
    content[21:26] = bytes([content[21] & 0xF0]) + bytes(4)
    path = save(tmp_path, content, "streamed.flac")
    np.testing.assert_array_equal(audio.read(path)[0], whole)
    assert audio.describe(path).notes == ()
    content[21:26] = bytes([content[21] & 0xF0]) + (5000).to_bytes(4, "big")
    path = save(tmp_path, content, "less.flac")
    np.testing.assert_array_equal(audio.read(path)[0], whole)
    assert "announces 5000 samples, 24000 are there" in audio.describe(path).notes[0]


def test_mp3_inside_of_a_wav(tmp_path: Path) -> None:
    inner = broken.content_of("mp3")
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16000, 4000, 1, 0, 12, 1, 2, 144, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(inner)) + inner
    path = save(tmp_path, b"RIFF" + struct.pack("<I", len(body)) + body, "a.wav")
    wanted, _ = audio.read(save(tmp_path, inner, "a.mp3"))
    np.testing.assert_array_equal(audio.read(path)[0], wanted)
    assert audio.describe(path).notes == ("it holds MP3 inside of a wav file",)


def test_tags_and_chunks_after_the_sound_are_no_sound(tmp_path: Path) -> None:
    content = broken.content_of("wav")
    for tail in (b"TAG" + bytes(125), bytes(4096), b"LIST\4\0\0\0INFO"):
        path = save(tmp_path, content + tail, f"tail{len(tail)}.wav")
        assert len(audio.read(path)[0]) == broken.SAMPLES
        assert audio.describe(path).notes == ()


def test_a_big_endian_wav(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, 1000)
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, 16000, endian="BIG", subtype="PCM_16")
    assert path.read_bytes()[:4] == b"RIFX"
    assert len(audio.read(path)[0]) == 1000
    save(tmp_path, path.read_bytes()[:-100], "cut.wav")
    with pytest.raises(AudioError, match="cut short"):
        audio.read(tmp_path / "cut.wav")


def test_ogg_streams_one_after_the_other_are_refused(tmp_path: Path) -> None:
    first = broken.content_of("ogg")
    second = bytearray(broken.content_of("opus"))
    with pytest.raises(AudioError, match="several streams"):
        audio.read(save(tmp_path, first + second, "chained.ogg"))


@pytest.mark.parametrize("name", ["ogg", "opus", "flac"])
def test_a_recording_twice_in_one_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioError, match="several streams"):
        audio.read(save(tmp_path, 2 * broken.content_of(name), f"twice.{name}"))


@pytest.mark.parametrize("name", ["NIST", "SVX", "VOC", "MAT5"])
def test_formats_that_can_be_cut_without_a_sign_are_refused(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.1), 16000, format=name, subtype="PCM_16")
    with pytest.raises(AudioError, match=r"a\.wav cannot be read .*its format is not known"):
        audio.read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "content", [b"#!AMR\n", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypM4A ", b"MThd"]
)
def test_what_only_looks_like_sound(tmp_path: Path, content: bytes) -> None:
    for name in ("a.wav", "a.m4a", "a.au", "a.mp3"):
        with pytest.raises(AudioError, match=r"a\.\w+ (cannot be read as audio|wants PyAV)"):
            audio.read(save(tmp_path, content + bytes(range(256)), name))


def test_samples_beyond_all_scales_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(100, 1e30), 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"samples as large as 1e\+30, wanted -1 to 1"):
        audio.read(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [0, 1, 1 << 30])
def test_rates_that_cannot_be(tmp_path: Path, rate: int) -> None:
    content = bytearray(broken.content_of("wav"))
    content[24:28] = struct.pack("<I", rate)
    with pytest.raises(AudioError, match=r"a\.wav .*(header is damaged|cannot be read)"):
        audio.read(save(tmp_path, content, "a.wav"))


def test_an_hour_of_many_channels_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((10, 256), np.int16), 48000, subtype="PCM_16")
    from thrum.audio.opening import Sound

    with Sound(path) as sound:
        assert max(block.size for block in sound.blocks()) <= 1 << 19
