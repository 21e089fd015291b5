"""An audit: every attack on every way of releasing, beside what that is worth."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import UsageError
from thrum.federation.messages import Algorithm, Sharing
from thrum.privacy.audit.attack import ATTACKS, Round
from thrum.privacy.audit.attacks.reconstruct import Reconstruct
from thrum.privacy.audit.judging import Finding
from thrum.privacy.audit.material import Material
from thrum.privacy.audit.sounding import sound_of
from thrum.privacy.audit.worth import METHOD, Worth, alone, worth
from thrum.privacy.mechanisms import StatisticsChain, parse_chain, parse_statistics_chain
from thrum.types import Progress

SCHEMA = 1
EXAMPLES = 2
STATISTICS_ATTACKS = ("statistics",)
"""Those that read statistics; all others read embeddings, of which then none leaves. Who has the embeddings
needs no statistics."""


@dataclass(frozen=True)
class AuditSettings:
    """What is audited.

    Parameters
    ----------
    embedder
        The frozen model.
    data
        What was attacked, in words.
    releases
        The chains, as `thrum.privacy.mechanisms.parse_chain` reads them.
    sharing, algorithm
        The round that is imagined.
    sites
        How many take part in it.
    attacks
        Their names; empty for all.
    settings
        Of the ID classifier, as ``key=value``.
    seed
        Decides everything random.
    """

    embedder: str
    data: str
    releases: tuple[str, ...] = ("frames", "clip_mean")
    sharing: Sharing = "embeddings"
    algorithm: Algorithm = 1
    sites: int = 10
    attacks: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Released:
    """One way of releasing, attacked.

    Parameters
    ----------
    chain
        As all may know it.
    findings
        What each attack found.
    worth
        What the sites gain.
    n_bytes
        What a clip weighs, on average.
    decoded
        What `Audit.originals` sound like, read off what was released; at 16 kHz.
    """

    chain: str
    findings: Sequence[Finding]
    worth: Worth
    n_bytes: float
    decoded: Sequence[NDArray[np.float32]] = ()


@dataclass(frozen=True)
class Audit:
    """What an audit came to.

    Parameters
    ----------
    settings
        What was audited.
    releases
        One for each chain.
    machines
        How many the attacker had, and how many were attacked.
    originals
        Some clips that were attacked, by their machine's name, at 16 kHz.
    """

    settings: AuditSettings
    releases: Sequence[Released]
    machines: tuple[int, int]
    originals: Sequence[tuple[str, NDArray[np.float32]]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "schema": SCHEMA,
            "settings": asdict(self.settings),
            "machines": {"attacker": self.machines[0], "attacked": self.machines[1]},
            "releases": [
                {
                    "chain": one.chain,
                    "bytes_per_clip": one.n_bytes,
                    "worth": {
                        "alone": one.worth.alone,
                        "together": dict(one.worth.together),
                        "shown": METHOD[self.settings.sharing],
                        "machines": one.worth.machines,
                    },
                    "findings": [{**asdict(found), "leak": found.leak} for found in one.findings],
                }
                for one in self.releases
            ],
        }

    def write(self, folder: Path) -> None:
        """Write ``audit.json`` and ``audit.csv``."""
        storage.write_json(folder / "audit.json", self.to_json())
        text = io.StringIO()
        columns = [
            *("release", "attack", "quantity", "who", "measure", "value", "low", "high", "chance"),
            *("leak", "machines", "reason"),
        ]
        rows = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        for one in self.releases:
            for found in one.findings:
                rows.writerow({"release": one.chain, **asdict(found), "leak": found.leak})
        storage.write_text(folder / "audit.csv", text.getvalue())

    def above(self, limits: dict[str, float]) -> list[str]:
        """Return, in words, what leaks more than is allowed: limits by attack, ``""`` for all others."""
        told = []
        for one in self.releases:
            for found in one.findings:
                limit = limits.get(found.attack, limits.get(""))
                if limit is not None and found.leak is not None and found.leak > limit:
                    told.append(
                        f"{one.chain}: {found.attack}, {found.quantity} leaks {found.leak:.2f}, "
                        f"{limit:g} is allowed"
                    )
        return told


def audit(
    material: Material,
    settings: AuditSettings,
    *,
    with_worth: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Attack `material`, released by each chain, and say what each is worth, unless told not to.

    Raises
    ------
    DataError
        Where there are fewer than four machines.
    ConfigError
        Where a chain, or an attack, is none.
    """
    statistics = settings.sharing == "statistics"
    chains = [
        parse_statistics_chain(text) if statistics else parse_chain(text)
        for text in settings.releases
    ]
    imagined = Round(settings.sharing, settings.algorithm, settings.sites, settings.settings)
    names = check_attacks(settings)
    kinds = [ATTACKS.load(name) for name in names]
    auxiliary, target = material.divided()
    examples = _examples(target)
    key = hashlib.sha256(f"audit {settings.seed}".encode()).digest()
    done = []
    by_itself = alone(material) if with_worth else {}
    for chain in chains:
        learnt, attacked, everybody = (
            one.with_statistics(chain, key=key)
            if isinstance(chain, StatisticsChain)
            else one.released(chain, key=key)
            for one in (auxiliary, target, material)
        )
        findings: list[Finding] = []
        decoded: list[NDArray[np.float32]] = []
        for number, kind in enumerate(kinds, start=1):
            attack = kind(imagined, seed=settings.seed).fit(learnt)
            findings += attack.attack(attacked)
            if isinstance(attack, Reconstruct) and examples:
                decoded = [sound_of(attack.levels(attacked, row)) for row in examples]
            if progress is not None:
                progress(f"attacking {chain.told}", number, len(kinds))
        value = Worth(None, {}, 0)
        if with_worth:
            value = worth(
                everybody,
                alone=by_itself,
                sharing=settings.sharing,
                seed=settings.seed,
                settings=settings.settings,
                progress=progress,
            )
        n_bytes = _bytes_per_clip(everybody)
        done.append(Released(chain.told, findings, value, n_bytes, decoded))
    originals = [("/".join(target.samples[row].key), _heard(target, row)) for row in examples]
    return Audit(
        settings,
        done,
        (len(auxiliary.keys), len(target.keys)),
        originals if any(one.decoded for one in done) else (),
    )


def _examples(target: Material) -> list[int]:
    """Return the rows of a few clips to listen to, of different kinds; none where there is no sound."""
    if target.sounds is None:
        return []
    chosen: dict[str, int] = {}
    for row, sample in enumerate(target.samples):
        chosen.setdefault(sample.key[0], row)
    return list(chosen.values())[:EXAMPLES]


def _heard(target: Material, row: int) -> NDArray[np.float32]:
    assert target.sounds is not None
    return target.sounds(row)


def check_attacks(settings: AuditSettings) -> tuple[str, ...]:
    """Return the attacks of an audit, or raise a `UsageError` where one finds nothing to read."""
    if settings.sharing == "embeddings":
        others = tuple(name for name in ATTACKS if name not in STATISTICS_ATTACKS)
        return settings.attacks or others
    if strange := [name for name in settings.attacks if name not in STATISTICS_ATTACKS]:
        raise UsageError(
            f"attack {strange[0]!r} reads embeddings, and none leaves where statistics are shared: say "
            f"--sharing embeddings, or one of: {', '.join(STATISTICS_ATTACKS)}"
        )
    return settings.attacks or STATISTICS_ATTACKS


def _bytes_per_clip(released: Material) -> float:
    """Return what leaves a site, on average, for each clip of its machines."""
    if released.moments:
        train = sum(sample.split == "train" for sample in released.samples)
        axes = sum(4 * own.axes.size for own in released.moments.values())
        return axes / max(train, 1)
    return sum(own.nbytes for own in released.vectors) / max(len(released.vectors), 1)
