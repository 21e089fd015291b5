"""A system whose process ends as one does that the kernel takes memory back from."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any


class Dying:
    @dataclass(frozen=True)
    class Config:
        epochs: int = 1

    def __init__(self, config: Any, **settings: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
