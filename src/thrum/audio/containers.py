"""What a file's own frame says of the sound in it, beside what libsndfile makes of it."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from thrum.errors import AudioError

_UNKNOWN_SIZE = 0x7FFF_F000
"""From here on, the size of a wav file's data says that it was written to a pipe and not known."""


def require_whole(path: Path) -> None:
    """Raise an `AudioError` where a file ends before the sound that its header announces."""
    missing_bytes = _missing_bytes(path)
    if missing_bytes > 0:
        raise AudioError(
            f"{path} is cut short: its header announces {missing_bytes} bytes more than are there; "
            f"copy it again"
        )


def _missing_bytes(path: Path) -> int:
    """Return by how many bytes a RIFF wav file ends before the sound that its header announces.

    libsndfile silently shortens the length of such a file to what is there.
    """
    with path.open("rb") as file:
        if not re.fullmatch(rb"RIFF.{4}WAVE", file.read(12), re.DOTALL):
            return 0
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                end = file.tell() + size
                return 0 if size >= _UNKNOWN_SIZE else end - path.stat().st_size
            file.seek(size + size % 2, os.SEEK_CUR)
    return 0
