"""Recordings: read, resample, write. Audio is float32 in [-1, 1]; one clip is (S,)."""

from thrum.audio.opening import SUFFIXES, Described, describe
from thrum.audio.reading import blocks, channel_blocks, read, read_clip
from thrum.audio.writing import resample, write

__all__ = [
    "SUFFIXES",
    "Described",
    "blocks",
    "channel_blocks",
    "describe",
    "read",
    "read_clip",
    "resample",
    "write",
]
