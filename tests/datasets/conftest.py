"""Small folders of recordings in any layout."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Tree = Callable[..., Path]


def _recording(channels: int, suffix: str, name: str) -> bytes:
    random = np.random.default_rng([channels, *name.encode("utf-8", "surrogateescape")])
    sound = random.uniform(-0.1, 0.1, (160, channels))
    file = io.BytesIO()
    soundfile.write(file, sound, 16000, format=suffix[1:].upper())
    return file.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write 10 ms of noise of its own to every name given, below a folder of the test's own; return that."""

    def write(names: Iterable[str], *, channels: int = 1, below: str = "data") -> Path:
        root = tmp_path / below
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_recording(channels, path.suffix.lower(), name))
        return root

    return write
