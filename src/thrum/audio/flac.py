"""FLAC (RFC 9639): how many samples there are by the last frame, beside what the header says."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from thrum.audio.containers import Examined, cut_short, several, size_of

_TAIL = 1 << 18
"""Bytes at the end that are searched for the last frame: several frames of eight channels of 24 bits."""
_BEGINS = tuple(b"fLaC" + bytes([last, 0, 0, 34]) for last in (0, 0x80))
"""How a file begins: its name, and the first block of what it says of itself, which may be the last."""
_SIZES = {1: 192, **{code: 576 << (code - 2) for code in range(2, 6)}}
_SIZES |= {code: 256 << (code - 8) for code in range(8, 16)}


class _Frame(NamedTuple):
    alike: int  # what is the same in all frames of a file: blocking, rate, channels' number, bits
    number: int
    samples: int


def flac(file: BinaryIO) -> Examined:
    """Examine a FLAC file."""
    length = size_of(file)
    head = file.read(42)
    if len(head) < 42 or head[4] & 0x7F:
        return Examined("flac")
    size, total = (
        int.from_bytes(head[10:12], "big"),
        int.from_bytes(head[21:26], "big") & 0xF_FFFF_FFFF,
    )
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if any(content.find(begin, 42) >= 0 for begin in _BEGINS):
            raise several()
    file.seek(max(42, length - _TAIL))
    last = _last(list(_frames(file.read())))
    if last is None:
        return Examined("flac")
    there = last.samples + (last.number if last.alike & 1 else last.number * size)
    if there < total:
        raise cut_short(total, there, samples=True)
    if there == total:
        return Examined("flac", there)
    patches = {
        21: bytes([head[21] & 0xF0 | there >> 32]) + (there & 0xFFFF_FFFF).to_bytes(4, "big")
    }
    notes = (f"its header announces {total} samples, {there} are there",) if total else ()
    return Examined("flac", there, patches=patches, notes=notes)


def _last(frames: list[_Frame]) -> _Frame | None:
    """Return the last frame that another one leads up to: what looks like a head may be sound by chance."""
    for place in range(len(frames) - 1, 0, -1):
        frame = frames[place]
        for before in frames[:place]:
            step = before.samples if frame.alike & 1 else 1
            if before.alike == frame.alike and before.number + step == frame.number:
                return frame
    return frames[-1] if len(frames) == 1 and frames[0].number == 0 else None


def _frames(content: bytes) -> Iterator[_Frame]:
    """Yield what looks like the head of a frame and has the right checksum."""
    place = content.find(b"\xff")
    while 0 <= place < len(content) - 6:
        frame = _frame(content[place : place + 16])
        if frame is not None:
            yield frame
        place = content.find(b"\xff", place + 1)


def _frame(head: bytes) -> _Frame | None:
    if head[1] & 0xFE != 0xF8 or head[3] & 1 or head[2] & 15 == 15 or head[3] >> 4 > 10:
        return None
    first = head[4]
    more = 0 if first < 0x80 else 8 - (first ^ 0xFF).bit_length() - 1
    if first == 0xFF or 0x80 <= first < 0xC0:
        return None
    number = first if not more else first & (0x3F >> more)
    place = 5
    for byte in head[5 : 5 + more]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
        place += 1
    code = head[2] >> 4
    extra = {6: 1, 7: 2}.get(code, 0)
    samples = (
        int.from_bytes(head[place : place + extra], "big") + 1 if extra else _SIZES.get(code, 0)
    )
    place += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if not samples or place >= len(head) or _checksum(head[:place]) != head[place]:
        return None
    alike = (head[2] & 15) << 8 | (head[3] & 0x0E) << 1 | head[1] & 1
    return _Frame(alike, number, samples)


def _checksum(content: bytes) -> int:
    """Return the CRC-8 of the polynomial x⁸ + x² + x + 1."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x107) if value & 0x80 else value << 1
    return value
