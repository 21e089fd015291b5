"""What a site releases, as a chain of mechanisms, written ``clip_mean | quantise:4``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ConfigError
from thrum.privacy.mechanisms.gate import release
from thrum.privacy.mechanisms.steps import Frames, Gaussian, Step, step_of

LONGEST = 180
"""Characters: a chain is part of a message."""


@dataclass(frozen=True)
class Chain:
    """Mechanisms, one after the other; the last form passes the gate.

    Parameters
    ----------
    text
        As a person wrote it.
    steps
        What it says.
    """

    text: str
    steps: Sequence[Step]

    @property
    def told(self) -> str:
        """The chain as all may know it: equal at all sites, secrets by their fingerprints."""
        return " | ".join(step.told for step in self.steps)

    @property
    def mu(self) -> float:
        """What releasing one clip costs: the sensitivity over the noise; 0 where there is no noise."""
        return sum(step.mu for step in self.steps if isinstance(step, Gaussian))

    @property
    def noise(self) -> Gaussian | None:
        """The step that adds noise, where there is one."""
        return next((step for step in self.steps if isinstance(step, Gaussian)), None)

    def release(self, frames: NDArray[Any], *, key: bytes = b"") -> NDArray[np.float16]:
        """Return the form (T', D) in which a clip's embeddings (T, D) leave the site, and are scored there.

        Parameters
        ----------
        key
            The site's own secret, which decides its noise.

        Raises
        ------
        ProtocolError
            As `thrum.privacy.mechanisms.release` has it.
        """
        if len(self.steps) == 1 and isinstance(self.steps[0], Frames):
            return release(frames)
        found = release(frames).astype(np.float64)  # what is on disk in half precision is
        for step in self.steps:
            found = step(found, key)
        return release(found)


def resolved(text: str) -> str:
    """Return a chain whose secrets are named by whole paths, so that it can be read from any folder."""
    parts = [part.strip() for part in text.split("|")]
    for number, part in enumerate(parts):
        name, _, rest = part.partition(":")
        if name == "rotate" and Path(rest).exists():
            parts[number] = f"rotate:{Path(rest).expanduser().resolve()}"
    return " | ".join(parts)


@lru_cache(maxsize=64)
def parse_chain(text: str) -> Chain:
    """Return the chain that is written so.

    Raises
    ------
    ConfigError
        Where it is empty, too long, names what there is not, or adds noise twice.
    """
    parts = [part.strip() for part in text.split("|")]
    if not all(parts):
        raise ConfigError(
            f"{text!r} is not a chain of mechanisms, wanted for instance 'clip_mean | quantise:4'"
        )
    steps = tuple(step_of(part) for part in parts)
    chain = Chain(text, steps)
    if len(chain.told) > LONGEST:
        raise ConfigError(f"the chain is longer than {LONGEST} characters: {chain.told[:60]}…")
    if sum(isinstance(step, Gaussian) for step in steps) > 1:
        raise ConfigError(f"{text!r} adds noise twice: once is enough, with a smaller epsilon")
    if any(isinstance(step, Frames) for step in steps[1:]):
        raise ConfigError(f"{text!r}: 'frames' leaves all as it is and stands alone, or first")
    return chain
