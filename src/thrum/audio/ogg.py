"""Ogg (Vorbis, Opus, FLAC): pages, of which the last says that it is the last (RFC 3533)."""

from __future__ import annotations

import mmap
import struct
from typing import BinaryIO

from thrum.audio.containers import DamagedError, Examined, several, size_of
from thrum.sentences import Sentence

_HEAD = struct.Struct("<4sBBqIIIB")
_LARGEST_PAGE = 27 + 255 + 255 * 255
_FIRST, _LAST = 2, 4


def ogg(file: BinaryIO) -> Examined:
    """Examine an Ogg file: one stream, from a first page to a last one that is whole."""
    length = size_of(file)
    first = file.read(_HEAD.size)
    if len(first) < _HEAD.size:
        return Examined("ogg")
    serial = _HEAD.unpack(first)[4]
    file.seek(max(0, length - 2 * _LARGEST_PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS")
    while at > 0 and not _plausible(tail[at:]):
        at = tail.rfind(b"OggS", 0, at)
    if at < 0 or len(tail) - at < _HEAD.size:
        raise DamagedError(Sentence("last_page"))
    _, _, flags, _, its_serial, _, _, segments = _HEAD.unpack_from(tail, at)
    lacing = tail[at + 27 : at + 27 + segments]
    end = at + 27 + segments + sum(lacing)
    if its_serial != serial:
        raise several()
    with mmap.mmap(
        file.fileno(), 0, access=mmap.ACCESS_READ
    ) as content:  # two copies have one serial
        if content.find(_begins(serial), _HEAD.size) >= 0:
            raise several()
    if end > len(tail) or tail[end:].strip(b"\0") or not flags & _LAST:
        raise DamagedError(Sentence("open_page"))
    return Examined("ogg")


def _begins(serial: int) -> bytes:
    """Return how the first page of a stream begins."""
    return struct.pack("<4sBBqI", b"OggS", 0, _FIRST, 0, serial)


def _plausible(page: bytes) -> bool:
    return len(page) >= _HEAD.size and page[4] == 0 and page[5] < 8
