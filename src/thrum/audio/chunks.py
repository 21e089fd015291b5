"""Formats made of chunks: wav, RF64, W64, AIFF, CAF; and AU, which is one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from thrum.audio.containers import (
    UNFINISHED,
    DamagedError,
    Examined,
    cut_short,
    no_sound_found,
    size_of,
)
from thrum.sentences import Sentence

_PIPED = (range(0x7FFF_0000, 0x8000_0001), range(0xFFFF_0000, 0x1_0000_0000))
"""Sizes of a wav file's data that say that it was written to a pipe and not known."""
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")
"""What programs append to sound of any format."""
_FULL = 0xFFFF_FFFF
_MPEG, _EXTENSIBLE = 0x55, 0xFFFE
_PLAIN = {1, 3, 6, 7}
"""Wav's formats of so many bytes a sample: whole numbers, floats, A-law, µ-law."""


class _Chunk(NamedTuple):
    name: bytes
    size_at: int
    start: int
    size: int


def wav(file: BinaryIO) -> Examined:
    """Examine RIFF, RIFX, RF64 or BW64 with WAVE in it."""
    length = size_of(file)
    head = file.read(12)
    if head[8:12] != b"WAVE":
        return Examined("")
    order = ">" if head[:4] == b"RIFX" else "<"
    large = head[:4] in (b"RF64", b"BW64")
    all_size = int.from_bytes(head[4:8], "big" if order == ">" else "little") + 8
    form: bytes | None = None
    long_size: tuple[int, int] | None = None  # where it stands, and what it is
    for chunk in _chunks(file, 12, length, order + "4sI"):
        if chunk.name == b"fmt ":
            form = _content(file, chunk, 40)
        elif chunk.name == b"ds64" and large:
            content = _content(file, chunk, 24)
            if len(content) >= 16:
                all_size = struct.unpack_from("<Q", content)[0] + 8
                long_size = chunk.start + 8, struct.unpack_from("<Q", content, 8)[0]
        elif chunk.name == b"data":
            if form is None or len(form) < 16:
                raise DamagedError(Sentence("no_form"))
            sizes = all_size, length
            return _wav_data(file, chunk, form, order, long_size, sizes, rf64=large)
    raise no_sound_found()


def _wav_data(
    file: BinaryIO,
    chunk: _Chunk,
    form: bytes,
    order: str,
    long_size: tuple[int, int] | None,
    sizes: tuple[int, int],
    *,
    rf64: bool,
) -> Examined:
    tag, channels, rate, per_second, align, bits = struct.unpack_from(order + "HHIIHH", form)
    if tag == _EXTENSIBLE and len(form) >= 26:  # the form proper stands further on
        tag = struct.unpack_from(order + "H", form, 24)[0]
    kind = "rf64" if rf64 else "wav"
    notes: list[str] = []
    all_size, length = sizes  # as the header has it, and as it is
    if tag in _PLAIN:
        _require_sane(channels, bits, align)
    if tag in _PLAIN and per_second not in (0, rate * align):
        notes.append(
            f"its header contradicts itself: {rate} samples of {align} bytes a second, and {per_second} "
            f"bytes a second; taken for {rate} samples"
        )
    announced, size_at, size_form = chunk.size, chunk.size_at, order + "I"
    if rf64 and announced == _FULL and long_size is not None:
        size_at, announced = long_size
        size_form = "<Q"
    there = length - chunk.start
    unknown = announced in (0, (1 << 64) - 1) or _is_piped(announced)
    beyond = _beyond(file, chunk.start + announced, length, order + "4sI")
    patches = {0: b"RF64"} if rf64 else {}
    size = announced
    if announced == 0 and not beyond:
        size = 0  # nothing was recorded, and chunks follow
    elif unknown and (announced == 0 or announced >= there):
        size = there
        if length < all_size < 1 << 60 and not _is_piped(all_size - 8):
            raise cut_short(all_size, length)
        if announced == 0:
            notes.append(UNFINISHED)
        elif rf64:  # its ds64 is missing or damaged, which alone would tell
            notes.append("its header does not say how long its sound is; read to the end")
    elif announced > there:
        raise cut_short(announced, there)
    elif beyond:
        size = there
        notes.append(_announces_less(announced, there))
    if size != announced and (size_form == "<Q" or size < _FULL):
        patches[size_at] = struct.pack(size_form, size)
    if tag == _MPEG:
        notes.append("it holds MP3 inside of a wav file")
        end = chunk.start + size
        return Examined("wav", start=chunk.start, end=end, notes=tuple(notes))
    samples = None
    if tag in _PLAIN:
        samples = size // align
        notes += _remainder(size, align)
    if not rf64 and size >= _FULL:  # its own head cannot say so
        head = _long_head(form, size, order)
        return Examined(kind, samples, start=chunk.start, head=head, notes=tuple(notes))
    return Examined(kind, samples, patches=patches, notes=tuple(notes))


def _long_head(form: bytes, size: int, order: str) -> bytes:
    """Return the head of an RF64 file (EBU Tech 3306) with sound of the form of a wav file."""
    if order == ">":
        raise DamagedError(Sentence("big_endian"))
    body = b"WAVEds64" + struct.pack("<IQQQI", 28, size + len(form) + 64, size, 0, 0)
    body += b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", _FULL)
    return b"RF64" + struct.pack("<I", _FULL) + body


def w64(file: BinaryIO) -> Examined:
    """Examine Sony Wave64: as wav, with names of 16 bytes and sizes of 8 that count the head in."""
    length = size_of(file)
    if file.read(40)[24:28] != b"wave":
        return Examined("")
    form = b""
    place = 40
    while place + 24 <= length:
        file.seek(place)
        name, size = struct.unpack("<4s12xQ", file.read(24))
        if name == b"fmt ":
            form = file.read(min(size, 64))
        elif name == b"data":
            return _w64_data(form, place, size - 24, length, file)
        if size < 24:
            raise DamagedError(Sentence("odd_part", part=repr(name), size=size))
        place += -(-size // 8) * 8
    raise no_sound_found()


def _w64_data(form: bytes, place: int, announced: int, length: int, file: BinaryIO) -> Examined:
    if len(form) < 16:
        raise DamagedError(Sentence("no_form"))
    tag, channels, _, _, align, bits = struct.unpack_from("<HHIIHH", form)
    there = length - place - 24
    patches, notes, size = {}, [], announced
    after = place + 24 + -(-announced // 8) * 8
    file.seek(min(after, length))
    follows = file.read(24)
    named = len(follows) == 24 and all(byte < 128 for byte in follows[:4])
    if announced <= 0 or announced >= 1 << 62:
        size = there
        notes.append(UNFINISHED)
    elif announced > there:
        raise cut_short(announced, there)
    elif follows.strip(b"\0") and not named:
        size = there
        notes.append(_announces_less(announced, there))
    if size != announced:
        patches[place + 16] = struct.pack("<Q", size + 24)
    samples = None
    if tag in _PLAIN or tag == _EXTENSIBLE:
        _require_sane(channels, bits, align)
        samples = size // align
        notes += _remainder(size, align)
    return Examined("w64", samples, patches=patches, notes=tuple(notes))


def aiff(file: BinaryIO) -> Examined:
    """Examine AIFF and AIFF-C."""
    length = size_of(file)
    head = file.read(12)
    if head[8:12] not in (b"AIFF", b"AIFC"):
        return Examined("")
    common: tuple[int, bytes] | None = None
    sound: _Chunk | None = None
    for chunk in _chunks(file, 12, length, ">4sI"):
        if chunk.name == b"COMM" and common is None:
            common = chunk.start, _content(file, chunk, 22)
        elif chunk.name == b"SSND" and sound is None:
            sound = chunk
    if common is None or sound is None or len(common[1]) < 18:
        raise no_sound_found()
    at, content = common
    channels, frames, bits = struct.unpack_from(">HIH", content)
    packing = content[18:22] if head[8:12] == b"AIFC" else b"NONE"
    offset = int.from_bytes(_content(file, sound, 4), "big")
    there = length - sound.start
    size, patches, notes = sound.size, {}, []
    if sound.size in (0, 8, _FULL) and there > 8:
        size = there
        patches[sound.size_at] = struct.pack(">I", min(size, _FULL))
        notes.append(UNFINISHED)
    elif sound.size > there:
        raise cut_short(sound.size, there)
    elif _beyond(file, sound.start + sound.size, length, ">4sI"):
        size = there
        patches[sound.size_at] = struct.pack(">I", size)
        notes.append(_announces_less(sound.size, there))
    per_frame = channels * ((bits + 7) // 8)
    if packing not in (
        b"NONE",
        b"sowt",
        b"twos",
        b"fl32",
        b"FL32",
        b"fl64",
        b"FL64",
        b"in24",
        b"in32",
    ):
        return Examined("aiff", patches=patches, notes=tuple(notes))
    if not per_frame:
        raise DamagedError(Sentence("odd_bits", channels=channels, bits=bits))
    samples = max(size - 8 - offset, 0) // per_frame
    if frames > samples:
        raise cut_short(frames, samples, samples=True)
    if frames < samples:
        patches[at + 2] = struct.pack(">I", samples)
        if not notes:
            notes.append(_announces_less(frames, samples, "samples"))
    return Examined("aiff", samples, patches=patches, notes=tuple(notes))


def caf(file: BinaryIO) -> Examined:
    """Examine Apple's Core Audio Format."""
    length = size_of(file)
    per_frame = 0
    for chunk in _chunks(file, 8, length, ">4sQ", padded=False):
        if chunk.name == b"desc":
            content = _content(file, chunk, 32)
            if len(content) == 32 and content[8:12] == b"lpcm":
                per_frame = int.from_bytes(content[16:20], "big")
        elif chunk.name == b"data":
            there = length - chunk.start
            size, patches, notes = chunk.size, {}, []
            if size == (1 << 64) - 1:  # the format's own word for "to the end"
                size = there
            elif size in (0, 4) and there > 4:
                size = there
                notes.append(UNFINISHED)
            elif size > there:
                raise cut_short(size, there)
            elif _beyond(file, chunk.start + size, length, ">4sQ", padded=False):
                size = there
                notes.append(_announces_less(chunk.size, there))
            if size != chunk.size:
                patches[chunk.size_at] = struct.pack(">Q", size)
            samples = (size - 4) // per_frame if per_frame else None
            notes += _remainder(size - 4, per_frame)
            return Examined("caf", samples, patches=patches, notes=tuple(notes))
    raise no_sound_found()


def au(file: BinaryIO) -> Examined:
    """Examine Sun's AU."""
    length = size_of(file)
    head = file.read(24)
    if len(head) < 24:
        return Examined("au")
    start, announced, encoding, _, channels = struct.unpack(">5I", head[4:])
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0)
    there = length - start
    notes = []
    size = announced
    if announced in (0, _FULL):
        size = there
        if announced == 0 and there > 0:
            notes.append(UNFINISHED)
    elif announced > there:
        raise cut_short(announced, there)
    elif _bytes_in(file, start + announced):
        size = there
        notes.append(_announces_less(announced, there))
    patches = {} if size == announced else {8: struct.pack(">I", min(max(size, 0), _FULL))}
    samples = size // (width * channels) if width * channels else None
    notes += _remainder(size, width * channels)
    return Examined("au", samples, patches=patches, notes=tuple(notes))


def _announces_less(announced: int, there: int, unit: str = "bytes") -> str:
    return f"its header announces {announced} {unit} of sound, {there} are there; read to the end"


def _require_sane(channels: int, bits: int, align: int) -> None:
    if not align or align != channels * ((bits + 7) // 8):
        raise DamagedError(Sentence("contradicts", channels=channels, bits=bits, align=align))


def _remainder(size: int, per_sample: int) -> list[str]:
    left = size % per_sample if per_sample else 0
    return (
        [f"its sound ends {left} bytes after a whole sample: is its header right?"] if left else []
    )


def _content(file: BinaryIO, chunk: _Chunk, most: int) -> bytes:
    """Return the beginning of a chunk; the file's place is not kept."""
    file.seek(chunk.start)
    return file.read(min(chunk.size, most))


def _chunks(
    file: BinaryIO, place: int, length: int, form: str, *, padded: bool = True
) -> Iterator[_Chunk]:
    head = struct.calcsize(form)
    while place + head <= length:
        file.seek(place)
        name, size = struct.unpack(form, file.read(head))
        yield _Chunk(name, place + 4, place + head, size)
        place += head + size + (size % 2 if padded else 0)


def _beyond(file: BinaryIO, place: int, length: int, form: str, *, padded: bool = True) -> bool:
    """Return whether something lies from `place` to the end that is neither chunks, nor tags, nor empty."""
    if place >= length:
        return False
    return not any(
        _only_chunks(file, start, length, form, padded=padded)
        for start in (place + place % 2, place)
        if padded or start == place
    )


def _only_chunks(file: BinaryIO, place: int, length: int, form: str, *, padded: bool) -> bool:
    head = struct.calcsize(form)
    while place < length:
        file.seek(place)
        start = file.read(head)
        if start.startswith(_TAGS):
            return True
        if length - place < head or not start.strip(b"\0"):
            return not _bytes_in(file, place)
        name, size = struct.unpack(form, start)
        if not all(32 <= byte < 127 for byte in name) or place + head + size > length + 1:
            return False
        place += head + size + (size % 2 if padded else 0)
    return True


def _is_piped(size: int) -> bool:
    return any(size in piped for piped in _PIPED)


def _bytes_in(file: BinaryIO, place: int) -> bool:
    """Return whether anything but zeros comes from `place` to the end of the file."""
    file.seek(place)
    while block := file.read(1 << 20):
        if block.strip(b"\0"):
            return True
    return False
