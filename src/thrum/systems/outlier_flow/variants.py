"""Table 1 of the paper, and the four submitted ensembles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thrum.errors import ConfigError

Family = Literal["gmm", "knn", "flow"]

SINGLE = ("OE", "OE-Flow", "OE-DFlow", "SerialOE-Flow", "SerialOE-DFlow")


@dataclass(frozen=True)
class Variant:
    """One row of table 1.

    Parameters
    ----------
    flow
        Whether the flow loss is added (eq. 5).
    invariant
        Whether some latents are tied to the condition, so that the others are free of it (section 3.1).
    serial
        Whether sections or attributes are learnt beside the machine (eqs. 3 and 8).
    families
        What scores: inlier models of the embeddings, the flow.
    """

    flow: bool
    invariant: bool
    serial: bool
    families: tuple[Family, ...]


VARIANTS: dict[str, Variant] = {
    "OE": Variant(flow=False, invariant=False, serial=False, families=("gmm", "knn")),
    "OE-Flow": Variant(flow=True, invariant=False, serial=False, families=("gmm", "knn", "flow")),
    "OE-DFlow": Variant(flow=True, invariant=True, serial=False, families=("gmm", "knn")),
    "SerialOE-Flow": Variant(flow=True, invariant=False, serial=True, families=("flow",)),
    "SerialOE-DFlow": Variant(flow=True, invariant=True, serial=True, families=("flow",)),
}

ENSEMBLES: dict[str, tuple[str, ...]] = {
    "submission-1": SINGLE,
    "submission-2": ("OE-DFlow", "SerialOE-DFlow"),
    "submission-3": ("OE", "OE-Flow", "OE-DFlow"),
    "submission-4": ("OE", "OE-Flow", "OE-DFlow", "SerialOE-DFlow"),
}


def members_of(name: str) -> tuple[str, ...]:
    """Return the variants that a variant or an ensemble is made of.

    Raises
    ------
    ConfigError
        Where there is no such name.
    """
    if name in VARIANTS:
        return (name,)
    if name in ENSEMBLES:
        return ENSEMBLES[name]
    raise ConfigError(f"variant is {name!r}, wanted one of {', '.join([*VARIANTS, *ENSEMBLES])}")
