"""MP3: nothing but frames, so that only counting them tells how long it is."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from thrum.audio.containers import DamagedError, Examined
from thrum.sentences import Sentence

_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_TAGS = (b"TAG", b"APETAGEX", b"LYRICS", b"ID3")
_ENDS = 4 * 1152
"""Samples at both ends that an encoder may have added and a decoder may take away again."""
_LONGEST_END = 2400
"""Samples that an encoder may have added at one end: two frames and what its filters take."""
_SEARCHED = 1 << 16
"""Bytes before the first frame that are looked through."""


class _Frame(NamedTuple):
    start: int
    size: int
    samples: int
    kind: tuple[int, int, int]  # version, layer, rate: the same in all frames


def mp3(file: BinaryIO) -> Examined:
    """Examine MP3, with or without tags; what has no two frames on end is not one."""
    if not file.read(1):
        return Examined("")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        first = _first(content)
        if first is None:
            return Examined("")
        return _counted(content, first)


def _counted(content: mmap.mmap, first: _Frame) -> Examined:
    place, count, gaps = first.start, 0, 0
    end = len(content)
    while place < end:
        frame = _frame(content, place)
        if frame is not None and frame.kind == first.kind:
            if place + frame.size > end:
                raise DamagedError(Sentence("last_frame"))
            count, place = count + 1, place + frame.size
            continue
        if content[place : place + 8].startswith(_TAGS) or not content[place:end].strip(b"\0"):
            break
        following = next(_chained(content, place, end, first.kind), None)
        gaps += 1
        if following is None:
            break
        place = following.start
    if gaps:
        raise DamagedError(Sentence("frame_gaps", gaps=gaps))
    patches: dict[int, bytes] = {}
    notes: list[str] = []
    before = _after_tags(content)
    if content[before : first.start].strip(b"\0"):
        notes.append(f"{first.start - before} bytes before its first frame are no sound; left out")
    at, announced = _xing(content, first)
    if at:
        count -= 1  # the frame that says so holds no sound
        if announced > count:
            raise DamagedError(Sentence("cut_frames", announced=announced, there=count))
        delay = content[at + 133 : at + 136]  # where LAME says how much to leave out at the ends
        left_out = [delay[0] << 4 | delay[1] >> 4, (delay[1] & 15) << 8 | delay[2]]
        if max(left_out) > _LONGEST_END:
            patches[at + 133] = bytes(3)
            notes.append(f"it says to leave out {left_out} samples at its ends, which are kept")
        if announced < count:
            patches[at] = count.to_bytes(4, "big")
            notes.append(f"its header announces {announced} frames of sound, {count} are there")
    return Examined(
        "mp3", at_least=max(count * first.samples - _ENDS, 1), patches=patches, notes=tuple(notes)
    )


def _first(content: mmap.mmap) -> _Frame | None:
    start = _after_tags(content)
    return next(_chained(content, start, min(start + _SEARCHED, len(content)), None), None)


def _after_tags(content: mmap.mmap) -> int:
    start = 0
    while content[start : start + 3] == b"ID3" and start + 10 <= len(content):
        sizes = content[start + 6 : start + 10]
        start += 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(sizes))
        start += 10 if content[start - 5 : start - 4] == b"\x10" else 0
    return start


def _chained(
    content: mmap.mmap, start: int, end: int, kind: tuple[int, int, int] | None
) -> Iterator[_Frame]:
    """Yield frames that another frame, a tag or the end follows."""
    place = content.find(b"\xff", start, end)
    while place >= 0:
        frame = _frame(content, place)
        if frame is not None and kind in (None, frame.kind):
            after = place + frame.size
            follows = _frame(content, after)
            if (follows is not None and follows.kind == frame.kind) or after == len(content):
                yield frame
        place = content.find(b"\xff", place + 1, end)


def _frame(content: mmap.mmap, place: int) -> _Frame | None:
    head = content[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, bits = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate == 3 or bits in (0, 15):
        return None
    one = version == 3
    kbits = _KBITS[1 if one else 2, layer if one else min(layer, 2)][bits - 1]
    hertz, padding = _RATES[version][rate], head[2] >> 1 & 1
    if layer == 1:
        return _Frame(place, (12000 * kbits // hertz + padding) * 4, 384, (version, layer, rate))
    samples = 1152 if one or layer == 2 else 576
    size = samples // 8 * 1000 * kbits // hertz + padding
    return _Frame(place, size, samples, (version, layer, rate))


def _xing(content: mmap.mmap, first: _Frame) -> tuple[int, int]:
    """Return where the number of frames stands and what it is; (0, 0) where the file does not say."""
    frame = content[first.start : first.start + first.size]
    for word in (b"Xing", b"Info"):
        at = frame.find(word, 4, 64)
        if at > 0 and len(frame) >= at + 144 and frame[at + 7] & 1:
            return first.start + at + 8, int.from_bytes(frame[at + 8 : at + 12], "big")
        if at > 0:
            return 0, 0
    return 0, 0
