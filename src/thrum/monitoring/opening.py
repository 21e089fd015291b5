"""From the folder of a run to monitors of its machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.datasets.taking import FILE as SOUND
from thrum.datasets.taking import read_takings, takings_of, write_takings
from thrum.errors import StorageError, UsageError
from thrum.monitoring.alarms import AlarmSettings
from thrum.monitoring.baseline import Baseline
from thrum.monitoring.carrying import Earlier, carry_over
from thrum.monitoring.changing import Signed
from thrum.monitoring.history import Change, History
from thrum.monitoring.monitor import Monitor
from thrum.systems.base import System, load_system
from thrum.types import Clip, Progress, group_by_machine, names_of

if TYPE_CHECKING:
    from thrum.federation.site import Site

FOLDER = "monitors"


def open_monitor(
    run: Path | str,
    machine: str | None = None,
    *,
    alarms: AlarmSettings | None = None,
    device: str = "auto",
) -> Monitor:
    """Open the monitor of a machine that a run has learnt.

    Parameters
    ----------
    run
        What ``thrum train`` wrote, the folder of a site, or that of a simulation with its sites.
    machine
        ``machine/machine_id``; None where the run knows one alone.
    alarms
        When an alarm is raised; None for the defaults.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    UsageError
        Where the run knows no such machine, or several and none is named.
    StorageError
        Where the run or its baseline is damaged, or of another version.
    """
    run = run_of(Path(run), machine)
    system = load_system(run, device=device)
    key = _key(run, system, machine)
    history = History(folder_of(run, key))
    version = history.current
    if version == 0:
        baseline = Baseline.unheard(system.left_out_scores()[key])
    else:
        baseline = _loaded(history, version)
        if (history.folder / history.name(version)).is_dir():
            system = load_system(history.folder / history.name(version), device=device)
        else:
            _require_made_with(run, baseline, version, history)
            system = system.with_left_out(key, baseline.left_out)
    return Monitor(key, system, baseline, history=history, takings=read_takings(run), alarms=alarms)


def prepare_monitors(
    run: Path,
    system: System,
    clips: Iterable[Clip],
    *,
    when: str,
    who: str,
    states_by: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the first baseline of every machine of a run, and how its sound was taken where nothing says so.

    Parameters
    ----------
    run
        Where the system was saved.
    clips
        Those whose left-out scores `system` has, in their order.
    when, who
        For the log.
    states_by
        The attribute of the clips that tells the operating state; None finds states in the sound.
    progress
        Told after each machine.
    """
    _write_baselines(
        run,
        list(clips),
        system.left_out_scores(),
        when=when,
        who=who,
        states_by=states_by,
        progress=progress,
    )


def _write_baselines(
    run: Path,
    clips: Sequence[Clip],
    left_out: Mapping[tuple[str, str], NDArray[np.float64]],
    *,
    when: str,
    who: str,
    states_by: str | None = None,
    progress: Progress | None = None,
) -> None:
    if not (run / SOUND).exists():
        write_takings(run, takings_of(clips))
    groups = group_by_machine(clips)
    for number, (key, own) in enumerate(groups.items(), start=1):
        if len(left_out.get(key, ())) != len(
            own
        ):  # a machine of one clip has no other to be left out for
            continue
        history = History(folder_of(run, key))
        states = [clip.attributes.get(states_by, "normal") for clip in own] if states_by else None
        with history.lock():
            version = history.next_version()
            baseline = replace(Baseline.of(own, left_out[key], states), system=_content(run))
            baseline.save(history.folder, history.name(version))
            names = tuple(clip.name for clip in own)
            history.record(Change(version, 0, "made", when, who, "the run's own clips", names))
        if progress is not None:
            progress("normal sound for monitors", number, len(groups))


def prepare_site(site: Site, *, when: str, who: str, progress: Progress | None = None) -> list[str]:
    """Write the baselines of a site after a round, of its own machines.

    What people had confirmed before the round goes on into the new baselines; see
    `thrum.monitoring.carrying`.

    Returns
    -------
    list of str
        What a person must know.
    """
    if not (site.folder / "model.json").exists():
        return []
    histories = {key: History(folder_of(site.folder, key)) for key in site.machines}
    earlier: dict[tuple[str, str], Earlier] = {}
    notes = []
    for key, history in histories.items():
        try:
            found = Earlier.of(history)
        except StorageError as error:
            notes.append(
                f"{'/'.join(key)}: what was confirmed before this round does not go on: {error}"
            )
            continue
        if found is not None:
            earlier[key] = found
    clips = [clip for key in site.machines for clip in site.training_clips(key)]
    left_out = site.left_out or load_system(site.folder, device="cpu").left_out_scores()
    _write_baselines(site.folder, clips, left_out, when=when, who=who, progress=progress)
    for key, before in earlier.items():
        monitor = open_monitor(site.folder, "/".join(key), device="cpu")
        notes += carry_over(monitor, before, Signed(when, who, "confirmed before this round"))
    return notes


def history_of(run: Path | str, machine: str | None) -> tuple[str, History]:
    """Return a machine's name and the versions of its baseline, whatever state they are in."""
    run = run_of(Path(run), machine)
    key = _key(run, load_system(run, device="cpu"), machine)
    return "/".join(key), History(folder_of(run, key))


def folder_of(run: Path, key: tuple[str, str]) -> Path:
    """Return where the versions of a machine's baseline lie."""
    return run / FOLDER / names_of([key])[key]


def run_of(run: Path, machine: str | None) -> Path:
    """Return the folder that the system of a machine lies in: the run, or the machine's site in it."""
    sites = run / "sites"
    if (run / "model.json").exists() or not sites.is_dir():
        return run
    named = {site.name: site for site in sorted(sites.iterdir()) if site.is_dir()}
    if machine is None and len(named) == 1:
        return next(iter(named.values()))
    wanted = (machine or "").replace("/", "_")
    if wanted not in named:
        raise UsageError(
            f"{run} has the sites {', '.join(named)}: say which machine is meant (--machine "
            f"machine/machine_id), or give the folder of its site"
        )
    return named[wanted]


def _key(run: Path, system: System, machine: str | None) -> tuple[str, str]:
    known: Mapping[str, tuple[str, str]] = {"/".join(key): key for key in system.machine_keys}
    if machine is None and len(known) == 1:
        return next(iter(known.values()))
    if machine is None or machine not in known:
        raise UsageError(
            f"{run} knows {', '.join(known)}: say which one is meant (--machine machine/machine_id)"
        )
    return known[machine]


def _content(run: Path) -> str:
    """Return what tells a run's system from that of another round in the same folder."""
    return str(storage.read_json(run / "model.json").get("sha256", ""))


def _require_made_with(run: Path, baseline: Baseline, version: int, history: History) -> None:
    """Raise where the scores of a baseline are of a system that another round has replaced since."""
    if baseline.system and baseline.system != _content(run):
        made = max(change.version for change in history.changes() if change.what == "made")
        advice = (
            f"thrum baseline undo --to {made} goes to the last round's"
            if made > version
            else "take part in a round again, which makes a new one and carries on what was confirmed"
        )
        raise StorageError(
            f"version {version} of the baseline in {history.folder} belongs to an earlier round, whose "
            f"system is not there any more: {advice}"
        )


def _loaded(history: History, version: int) -> Baseline:
    try:
        return Baseline.load(history.folder, history.name(version))
    except StorageError as error:
        raise StorageError(
            f"{error}; the versions before it are still there: thrum baseline undo goes back to them"
        ) from error
