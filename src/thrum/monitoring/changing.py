"""Confirmed sound: how the baseline of a monitor is changed, and changed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thrum.datasets import files
from thrum.errors import DataError, UsageError
from thrum.monitoring.baseline import Baseline, are_stranger, content_of
from thrum.monitoring.conformal import p_values
from thrum.monitoring.heard import hear
from thrum.monitoring.history import Change
from thrum.monitoring.monitor import SHORTEST_SECONDS, Monitor
from thrum.monitoring.states import OFF, SILENT, UNKNOWN
from thrum.sentences import Sentence
from thrum.systems.base import System
from thrum.types import Clip

FEWEST_RENEWING = 10
"""Clips that normal sound may be renewed by: fewer promise next to nothing."""


@dataclass(frozen=True)
class Signed:
    """When, by whom and why a baseline is changed; the monitor itself knows no clock."""

    when: str
    who: str
    why: str = ""


@dataclass(frozen=True)
class Changed:
    """What a change did.

    Parameters
    ----------
    change
        As it stands in the log.
    states
        The operating states of the clips added, by name.
    advice
        What the user should know.
    """

    change: Change
    states: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def add(
    monitor: Monitor,
    sounds: Sequence[Path | Clip],
    signed: Signed,
    *,
    state: str | None = None,
    renew: bool = False,
) -> Changed:
    """Take confirmed normal clips into the baseline: detector, blend and calibration know them from now on.

    A clip that is nothing like the known states begins one of its own, in which it alone is ranked among.

    Parameters
    ----------
    state
        The operating state of the clips; None recognises it.
    renew
        Normal sound has changed for good: these clips alone are ranked among from now on, in their states.
        What was normal before is still compared with.

    Raises
    ------
    DataError
        Where a clip cannot be read, is silent or shorter than a frame, or is a confirmed fault.
    UsageError
        Where all are known already, or too few renew what is normal.
    """
    clips = _new(monitor, sounds)
    states = _states(monitor, clips, state)
    advice = []
    counts = {name: states.count(name) for name in dict.fromkeys(states)}
    if renew and min(counts.values()) < FEWEST_RENEWING:
        raise UsageError(
            f"{min(counts.values())} clips cannot stand for all normal sound: renew by {FEWEST_RENEWING} at "
            f"least, from different hours"
        )
    calibration = monitor.baseline.calibration()
    if not renew:
        scores = monitor.scores(clips)
        for name in counts:
            known = calibration.get(name, np.zeros(0))
            own = np.array([s for s, of in zip(scores, states, strict=True) if of == name])
            if are_stranger(p_values(known, own), len(known)):
                advice.append(Sentence("strangers", state=repr(name)))
    if not monitor.system.refits:
        advice.append(Sentence("network_stays", system=monitor.system.name))
    system = monitor.system.adapted(monitor.key, added=clips)
    left_out = system.left_out_scores()[monitor.key]
    renewed = tuple(counts) if renew else ()
    baseline = monitor.baseline.with_clips(clips, states, left_out, renewed=renewed)
    change = commit(monitor, "add", system, baseline, signed, [clip.name for clip in clips])
    return Changed(change, tuple(states), tuple(advice))


def confirm_faults(monitor: Monitor, sounds: Sequence[Path | Clip], signed: Signed) -> Changed:
    """Keep confirmed faults: nothing is learnt from them, they show how many faults are heard."""
    clips = _new(monitor, sounds)
    states = _states(monitor, clips, None)
    baseline = monitor.baseline.with_faults(clips, states, monitor.scores(clips))
    change = commit(monitor, "fault", None, baseline, signed, [clip.name for clip in clips])
    return Changed(change, tuple(states))


def drop(monitor: Monitor, names: Sequence[str | Path], signed: Signed) -> Changed:
    """Take clips out of the baseline, by name, path or content."""
    places = [_place(monitor, str(name)) for name in dict.fromkeys(map(str, names))]
    if len(set(places)) >= len(monitor.baseline.clips):
        raise UsageError(f"no normal clip of {monitor.name} would be left: add others first")
    system = monitor.system.adapted(monitor.key, dropped=sorted(set(places)))
    baseline = monitor.baseline.without(places, system.left_out_scores()[monitor.key])
    gone = [monitor.baseline.clips[place].name for place in places]
    return Changed(commit(monitor, "drop", system, baseline, signed, gone))


def commit(
    monitor: Monitor,
    what: str,
    system: System | None,
    baseline: Baseline,
    signed: Signed,
    names: Sequence[str],
) -> Change:
    """Write a version, then the line that makes it count; only then the monitor itself changes."""
    history = monitor.history
    with history.lock():
        parent, version = history.current, history.next_version()
        learnt = system or monitor.system
        if baseline.faults and system is not None:
            baseline, _ = scored_again(monitor.key, learnt, baseline)
        folder = history.folder / history.name(version)
        if learnt.refits and (system or _has_own(monitor, parent)):
            learnt.save(folder)
        baseline.save(history.folder, history.name(version))
        change = Change(version, parent, what, signed.when, signed.who, signed.why, tuple(names))
        history.record(change)
    monitor.system, monitor.baseline = learnt, baseline
    return change


def _has_own(monitor: Monitor, version: int) -> bool:
    return (monitor.history.folder / monitor.history.name(version)).is_dir()


def scored_again(key: tuple[str, str], system: System, baseline: Baseline) -> tuple[Baseline, int]:
    """Return the baseline with the scores that its faults have now, where their files are still there.

    Returns
    -------
    baseline, gone
        And how many faults' recordings are not there, or are others by now.
    """
    scores, gone = baseline.fault_scores.copy(), 0
    for place, fault in enumerate(baseline.faults):
        clip = fault.clip(key)
        if clip.path.exists() and content_of(clip) == fault.sha256:
            found = system.score([clip])
            scores[place] = found.columns[found.selected][0]
        else:
            gone += 1
    return replace(baseline, fault_scores=scores), gone


def _new(monitor: Monitor, sounds: Sequence[Path | Clip]) -> list[Clip]:
    """Return the clips that are not known yet; a recording that cannot be used stops all."""
    baseline = monitor.baseline
    if not baseline.clips and len(baseline.left_out):
        raise DataError(
            f"the run of {monitor.name} kept scores alone and no normal sound: train again with this version "
            f"of thrum, then its baseline can be changed"
        )
    paths = [one for one in sounds if not isinstance(one, Clip)]
    clips = [one for one in sounds if isinstance(one, Clip)]
    if paths:
        found = files.find(paths, monitor.key, takings=monitor.takings)
        if found.refused:
            raise DataError(f"nothing was added, since {found.refused[0][1]}")
        clips += found.clips
    faults = {fault.sha256: fault.name for fault in baseline.faults}
    new: dict[str, Clip] = {}
    for clip in clips:
        content = content_of(clip)
        if content in faults:
            raise DataError(f"{clip.name} is a confirmed fault: undo that first")
        if baseline.place(content) is None:
            new.setdefault(content, clip)
    if not new:
        raise UsageError(f"the baseline of {monitor.name} knows all of these clips already")
    return list(new.values())


def _states(monitor: Monitor, clips: Sequence[Clip], told: str | None) -> list[str]:
    heard = hear(clips)
    for clip, each in zip(clips, heard, strict=True):
        if each.seconds is not None and each.seconds < SHORTEST_SECONDS:
            raise DataError(
                f"{clip.name} is {each.seconds:.3f} s long, less than {SHORTEST_SECONDS} s, and no clip; "
                "nothing was added"
            )
        if each.is_silent:
            raise DataError(
                f"{clip.name} is silent: a microphone that does not hear is no normal sound; nothing was "
                "added"
            )
    if told is not None:
        return [told] * len(clips)
    found = monitor.operating_states(heard)
    taken = {clip.state for clip in monitor.baseline.clips}
    number = next(n for n in range(2, len(taken) + 3) if f"state {n}" not in taken)
    names = {UNKNOWN: f"state {number}", OFF: OFF, SILENT: SILENT}
    return [names.get(state, state) for state in found]


def _place(monitor: Monitor, name: str) -> int:
    clips = monitor.baseline.clips
    path = Path(name)
    content = content_of(Clip(path, *monitor.key, "test")) if path.is_file() else ""
    found = [
        place
        for place, clip in enumerate(clips)
        if name in (clip.name, clip.path) or (content and clip.sha256 == content)
    ]
    found = found or [
        place for place, clip in enumerate(clips) if path.name == Path(clip.path).name
    ]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{name} is {'none' if not found else f'{len(found)}'} of the {len(clips)} normal clips of "
        f"{monitor.name}: thrum baseline list shows them"
    )
