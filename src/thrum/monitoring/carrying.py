"""From one round to the next: what people confirmed of a machine's sound goes on into the new baseline.

A round makes a baseline of the clips that the site has learnt from. Clips that a person added, dropped,
renewed or called faults since the round before are not among these, and are brought over: the new scores
rank among them, and nothing that was dropped comes back. Their recordings need not be there any more, for
what was learnt of them lies in the version before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from thrum.errors import ThrumError
from thrum.monitoring.baseline import Baseline
from thrum.monitoring.changing import Signed, commit, scored_again
from thrum.monitoring.history import Change, History
from thrum.monitoring.monitor import Monitor
from thrum.systems.base import System, load_system


@dataclass(frozen=True)
class Earlier:
    """What counted before a round, of one machine.

    Parameters
    ----------
    version
        Its number.
    baseline
        What was known.
    made
        The contents of the clips that the round before had learnt from.
    system
        What had learnt the baseline's clips; None where nobody had added or dropped any.
    """

    version: int
    baseline: Baseline
    made: frozenset[str]
    system: System | None

    @classmethod
    def of(cls, history: History) -> Self | None:
        """Return what counts now, to be called before a round's baseline is made; None where nothing does."""
        version = history.current
        if version == 0:
            return None
        baseline = Baseline.load(history.folder, history.name(version))
        first = Baseline.load(history.folder, history.name(_first(history.changes(), version)))
        folder = history.folder / history.name(version)
        system = load_system(folder, device="cpu") if folder.is_dir() else None
        return cls(version, baseline, frozenset(clip.sha256 for clip in first.clips), system)

    @property
    def is_as_made(self) -> bool:
        """Whether no person has changed anything."""
        known = self.baseline.clips
        as_made = {clip.sha256 for clip in known} == self.made
        return as_made and not self.baseline.faults and all(clip.calibrates for clip in known)


def carry_over(monitor: Monitor, earlier: Earlier, signed: Signed) -> list[str]:
    """Bring what was confirmed before a round into the baseline that the round made, as a version of its own.

    Parameters
    ----------
    monitor
        Of the new round, with the baseline as made.

    Returns
    -------
    list of str
        What a person must know.
    """
    if earlier.is_as_made:
        return []
    before = {clip.sha256: clip for clip in earlier.baseline.clips}
    now = {clip.sha256 for clip in monitor.baseline.clips}
    dropped = [
        place
        for place, clip in enumerate(monitor.baseline.clips)
        if clip.sha256 in earlier.made and clip.sha256 not in before
    ]
    added = [
        place
        for place, clip in enumerate(earlier.baseline.clips)
        if clip.sha256 not in earlier.made and clip.sha256 not in now
    ]
    try:
        system, baseline = monitor.system, monitor.baseline
        if dropped or added:
            system = system.taking_over(earlier.system, monitor.key, places=added, dropped=dropped)
            baseline = _joined(baseline, dropped, earlier.baseline, added, system, monitor.key)
    except ThrumError as error:
        return [
            f"{monitor.name}: {len(added)} confirmed clips and {len(dropped)} dropped ones of version "
            f"{earlier.version} are not in the baseline of this round ({error}): thrum baseline list shows "
            f"them, add them again from their recordings"
        ]
    clips = tuple(
        replace(clip, state=before[clip.sha256].state, calibrates=before[clip.sha256].calibrates)
        if clip.sha256 in before
        else clip
        for clip in baseline.clips
    )
    if not any(clip.calibrates for clip in clips):  # nothing would be left to rank among
        clips = tuple(replace(clip, calibrates=True) for clip in clips)
    baseline = replace(
        baseline,
        clips=clips,
        faults=earlier.baseline.faults,
        fault_scores=earlier.baseline.fault_scores,
    )
    baseline, gone = scored_again(monitor.key, system, baseline)
    names = [earlier.baseline.clips[place].name for place in added]
    own = system if dropped or added else None
    commit(monitor, "carried", own, baseline, signed, names)
    told = f"{monitor.name}: {len(added)} confirmed clips, {len(dropped)} dropped ones and "
    told += f"{len(baseline.faults)} confirmed faults go on from version {earlier.version} of the baseline"
    notes = [told]
    if gone:
        notes.append(
            f"{monitor.name}: the recordings of {gone} confirmed faults are gone or changed: their scores "
            f"are those of before"
        )
    return notes


def _first(changes: Sequence[Change], version: int) -> int:
    """Return the version that a round made, from which `version` comes."""
    parents = {change.version: change.parent for change in changes if change.what != "undo"}
    while parents.get(version):
        version = parents[version]
    return version


def _joined(
    made: Baseline,
    dropped: Sequence[int],
    earlier: Baseline,
    added: Sequence[int],
    system: System,
    key: tuple[str, str],
) -> Baseline:
    """Return the baseline of a round without some clips, and with those at places of an earlier one."""
    others = [place for place in range(len(earlier.clips)) if place not in set(added)]
    kept, new = made.without(dropped, made.left_out), earlier.without(others, earlier.left_out)
    return replace(
        kept,
        clips=kept.clips + new.clips,
        left_out=system.left_out_scores()[key],
        bands=np.concatenate([kept.bands, new.bands]),
        levels_db=np.concatenate([kept.levels_db, new.levels_db]),
        spectra=np.concatenate([kept.spectra, new.spectra]),
        envelopes=np.concatenate([kept.envelopes, new.envelopes]),
    )
