"""What audits found of embedders, so that whoever shares them is told: figures, or that there are none."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from thrum import storage

RECORD = Path(__file__).with_name("audited.json")
"""By the embedder's class and the chain; written by ``benchmarks/privacy_mechanisms.py records``."""


def given_away(embedder: str, chain: str) -> str:
    """Return, as a sentence, what embeddings of a class give away that leave by a chain.

    Chains that no audit was of are not judged by others that look alike.
    """
    found = _record().get(embedder, {}).get(chain)
    if found is None:
        return (
            f"embeddings of {embedder} leave as {chain!r}, and nobody has audited these: thrum privacy audit "
            f"says what they give away, which may be the recording"
        )
    spectrum, detail, machine = (_share(found, name) for name in ("spectrum", "detail", "machine"))
    return (
        f"embeddings of {embedder} leave as {chain!r}; attackers read off them {spectrum} of a clip's mean "
        f"spectrum and {detail} of what changes within it, told speech from none with AUC "
        f"{found['presence']:.2f} and found a machine again in {machine} of tries (simulated machines; thrum "
        f"privacy audit measures yours)"
    )


def _share(found: dict[str, float], name: str) -> str:
    return f"{100 * max(found[name], 0.0):.0f} %"


@lru_cache(maxsize=1)
def _record() -> dict[str, Any]:
    found: dict[str, Any] = storage.read_json(RECORD)
    return found
