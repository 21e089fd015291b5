"""What noise has cost so far, kept across rounds."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path

from thrum import storage
from thrum.errors import ConfigError
from thrum.privacy.mechanisms.noise import check_budget, epsilon_of, mu_of

DELTA = 1e-5
"""At which ε is told where no limit says another."""


class BudgetSpentError(ConfigError):
    """What is asked for would cost more than is allowed."""

    exit_code = 1


@dataclass(frozen=True)
class Limit:
    """How much may be spent on any one clip, in all rounds together."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.delta)

    @property
    def told(self) -> str:
        """As a person reads it."""
        return f"epsilon {self.epsilon:g} at delta {self.delta:g}"


def parse_limit(text: str) -> Limit:
    """Return the limit that is written ``epsilon,delta``."""
    try:
        epsilon, delta = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"a budget of {text!r} is not understood, wanted EPSILON,DELTA, for instance 10,1e-5"
        ) from None
    return Limit(epsilon, delta)


class Budget:
    """What was released with noise, of which machine, and what it costs a clip of it.

    What is sent again with the same noise is the same release, and costs nothing again.

    Parameters
    ----------
    path
        The file that keeps it.
    limit
        What may be spent; None counts only.
    """

    def __init__(self, path: Path, limit: Limit | None = None) -> None:
        self.path = path
        self.limit = limit
        self._lock = threading.Lock()

    def spend(self, machine: str, what: str, mu: float) -> None:
        """Note a release of a machine before it leaves.

        Parameters
        ----------
        what
            What tells this release from others: the chain, and a digest of what went into it.
        mu
            Its sensitivity over its noise; 0 is a release without noise, which no budget counts.

        Raises
        ------
        BudgetSpentError
            Where more would be spent than is allowed; nothing may leave then.
        """
        if mu <= 0:
            if self.limit is not None:
                raise BudgetSpentError(
                    f"a budget of {self.limit.told} was set, and what is asked for has no noise: "
                    f"add 'gaussian' to the chain, or set no budget"
                )
            return
        with self._lock:  # pieces are asked for side by side
            spent = self._spent()
            own = spent.setdefault(machine, {})
            if what in own:
                return
            own[what] = mu
            total = math.sqrt(sum(one**2 for one in own.values()))
            if self.limit is not None and total > mu_of(self.limit.epsilon, self.limit.delta) * (
                1 + 1e-9
            ):
                raise BudgetSpentError(
                    f"the budget of {machine} is spent: with this release it would be epsilon "
                    f"{epsilon_of(total, self.limit.delta):.3g} at delta {self.limit.delta:g}, allowed is "
                    f"{self.limit.told}; what was sent before can be sent again, new clips cannot"
                )
            storage.private_folder(self.path.parent)
            storage.write_sealed(self.path, spent, private=True)

    def epsilon(self, machine: str, *, delta: float | None = None) -> float:
        """Return what was spent on a machine's clips so far, as ε; 0 where nothing had noise."""
        own = self._spent().get(machine, {})
        total = math.sqrt(sum(one**2 for one in own.values()))
        return epsilon_of(total, delta or (self.limit.delta if self.limit else DELTA))

    def told(self, machine: str) -> str:
        """Return what was spent on a machine's clips, as the ledger has it; empty where there is no noise."""
        spent = self.epsilon(machine)
        if spent == 0:
            return ""
        delta = self.limit.delta if self.limit else DELTA
        of = f" of {self.limit.epsilon:g}" if self.limit else ""
        return f"epsilon {spent:.4g}{of} at delta {delta:g}"

    def _spent(self) -> dict[str, dict[str, float]]:
        if not self.path.exists():
            return {}
        return storage.read_sealed(self.path, unsealed=True)
