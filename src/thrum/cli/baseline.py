"""``thrum baseline``: the normal sound that a monitor knows, confirmed by a person, and every change of "
"it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Device, Json, signature

if TYPE_CHECKING:
    from thrum.monitoring.changing import Changed, Signed

app = typer.Typer(
    help="Confirmed normal sound: add, drop, list, undo. Nothing is ever lost.",
    no_args_is_help=True,
)
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run, or the folder of a site.")]
Machine = Annotated[
    str | None, typer.Option(help="machine/machine_id; wanted where the run knows several.")
]
Who = Annotated[str | None, typer.Option(help="Who says so; else your name on this machine.")]
Why = Annotated[str, typer.Option(help="Why, for the log.")]


@app.command("add")
def add(
    run: Run,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Recordings, or folders.")
    ],
    machine: Machine = None,
    state: Annotated[
        str | None, typer.Option(help="The operating state they are of; else recognised.")
    ] = None,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Normal sound has changed for good: rank among these alone."),
    ] = False,
    fault: Annotated[
        bool, typer.Option("--fault", help="They are confirmed faults: kept, never learnt.")
    ] = False,
    who: Who = None,
    why: Why = "",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Take confirmed normal recordings into the baseline, or keep confirmed faults."""
    from thrum.errors import UsageError
    from thrum.monitoring import changing, open_monitor

    if fault and (renew or state):
        raise UsageError(
            "a confirmed fault is not learnt: --renew and --state have no meaning then"
        )
    monitor = open_monitor(run, machine, device=device)
    signed = _signed(who, why)
    if fault:
        done = changing.confirm_faults(monitor, files, signed)
    else:
        done = changing.add(monitor, files, signed, state=state, renew=renew)
    _show(done, monitor.name, json=json)


@app.command("drop")
def drop(
    run: Run,
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Names, or files.")],
    machine: Machine = None,
    who: Who = None,
    why: Why = "",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Take recordings out of the baseline."""
    from thrum.monitoring import changing, open_monitor

    monitor = open_monitor(run, machine, device=device)
    _show(changing.drop(monitor, files, _signed(who, why)), monitor.name, json=json)


@app.command("undo")
def undo(
    run: Run,
    machine: Machine = None,
    to: Annotated[int | None, typer.Option(help="A version; else the one before.")] = None,
    who: Who = None,
    why: Why = "",
    json: Json = False,
) -> None:
    """Go back to the version before, or to any other; what is left is kept too."""
    from thrum.monitoring.changing import Changed
    from thrum.monitoring.opening import history_of

    name, history = history_of(run, machine)
    signed = _signed(who, why)
    with history.lock():
        change = history.undo(to=to, when=signed.when, who=signed.who, why=signed.why)
    _show(Changed(change), name, json=json)


@app.command("list")
def list_(run: Run, machine: Machine = None, device: Device = "auto", json: Json = False) -> None:
    """Show the normal clips by operating state, the confirmed faults, and every change."""
    from dataclasses import asdict

    from thrum.monitoring import open_monitor

    monitor = open_monitor(run, machine, device=device)
    baseline, changes = monitor.baseline, monitor.history.changes()
    calibration = monitor.baseline.calibration()
    found, faults = monitor.recall()
    if json:
        console.print_json(
            {
                "machine": monitor.name,
                "version": monitor.history.current,
                "clips": [vars(clip) for clip in baseline.clips],
                "faults": [vars(clip) for clip in baseline.faults],
                "faults_suspicious": found,
                "promises": monitor.promises,
                "changes": [asdict(change) for change in changes],
            }
        )
        return
    rows = [
        [state, monitor.promises[state], str(len(scores))] for state, scores in calibration.items()
    ]
    console.print_table(f"{monitor.name}, ranked among", ["state", "promise", "clips"], rows)
    clips = [
        [clip.name, clip.state, "" if clip.calibrates else "not ranked among"]
        for clip in (*baseline.clips, *baseline.faults)
    ]
    console.print_table("normal clips", ["clip", "state", ""], clips[: len(baseline.clips)])
    if faults:
        console.print_table("confirmed faults", ["clip", "state", ""], clips[len(baseline.clips) :])
        typer.echo(f"of {faults} confirmed faults {found} would be called suspicious or worse")
    log = [
        [
            change.when,
            f"{change.what} {_counted(change.clips)} {change.why}".strip(),
            change.who,
            str(change.version),
        ]
        for change in changes
    ]
    console.print_table("changes", ["when", "what and why", "who", "version"], log)


def _counted(clips: tuple[str, ...]) -> str:
    if not clips:
        return ""
    return clips[0] if len(clips) == 1 else f"{len(clips)} clips"


def _signed(who: str | None, why: str) -> Signed:
    from thrum.monitoring.changing import Signed

    when, name = signature()
    return Signed(when, who or name, why)


def _show(done: Changed, name: str, *, json: bool) -> None:
    from dataclasses import asdict

    change = done.change
    if json:
        told = {"machine": name, **asdict(change), "states": list(done.states)}
        console.print_json({**told, "advice": list(done.advice)})
        return
    states = sorted(set(done.states))
    of = f", state {', '.join(states)}" if states else ""
    typer.echo(f"{name}: version {change.version} ({change.what} {_counted(change.clips)}{of})")
    for line in done.advice:
        typer.echo(f"note: {line}", err=True)
    if change.what != "undo":
        typer.echo("thrum baseline undo takes it back")
