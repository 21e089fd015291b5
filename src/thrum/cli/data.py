"""``thrum data``: simulate, fetch or check a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from thrum.cli import console, data_fetch
from thrum.cli.options import Anomaly, ClipSeconds, HopSeconds, Labels, Normal, open_data

if TYPE_CHECKING:
    from thrum.datasets.check import MachineCheck, Report
    from thrum.datasets.findings import Finding

SHOWN_MACHINES = 30
NAMED = 3  # clips of a finding

app = typer.Typer(help="Simulate, fetch or check a dataset.", no_args_is_help=True)
app.command("fetch")(data_fetch.fetch)


@app.callback()
def _data() -> None:
    pass


@app.command("synth")
def synth(
    out: Path = typer.Argument(..., metavar="DIR", help="The folder to write to."),
    config: Path = typer.Option(None, help="TOML: what differs from the defaults."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Change one setting; repeatable."
    ),
    seed: int = typer.Option(None, help="Decides the machines and all clips."),
    json: bool = typer.Option(False, "--json", help="Answer in JSON."),
) -> None:
    """Simulate machines, well and failing, in the layout of DCASE Task 2."""
    from dataclasses import replace

    from thrum import config as configs
    from thrum.datasets.synthetic import SyntheticConfig, write_dataset

    chosen = configs.load(SyntheticConfig, config) if config else SyntheticConfig()
    chosen = configs.with_overrides(chosen, settings)
    if seed is not None:
        chosen = replace(chosen, seed=seed)
    with console.progress(quiet=json) as progress:
        clips = write_dataset(chosen, out, progress=progress)
    if json:
        console.print_json({"out": str(out), "clips": len(clips)})
    else:
        typer.echo(f"{len(clips)} clips in {out}; faults and conditions: {out / 'simulation.json'}")


@app.command("check")
def check(
    data: Path = typer.Argument(..., metavar="DIR", help="The folder of recordings or .npz files."),
    layout: str = typer.Option(None, help="arrays, mimii, dcase or folder; else found out."),
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    strict: bool = typer.Option(False, "--strict", help="Exit code 1 for warnings, too."),
    json: bool = typer.Option(False, "--json", help="Answer in JSON."),
) -> None:
    """Say how a dataset is read, read every file, name the bad ones and what spoils learning.

    Exit code 1 where a file is bad or a finding is an error.
    """
    from thrum.datasets.check import check as check_dataset

    dataset = open_data(data, layout, labels, normal, anomaly, clip_seconds, hop_seconds)
    with console.progress(quiet=json) as progress:
        report = check_dataset(dataset, progress=progress)
    if json:
        console.print_json(report.mapping())
    else:
        _print(report)
    if not report.ok or (strict and report.warnings):
        raise typer.Exit(1)


def _print(report: Report) -> None:
    rows = [_row(machine) for machine in report.machines]
    header = [name for name in rows[0] if any(row[name] for row in rows)]
    console.print_table(
        f"{report.name} ({report.root})", header, [[row[name] for name in header] for row in rows]
    )
    _print_reading(report)
    for path, reason in report.left_out:
        typer.echo(f"left out: {path}: {reason}")
    for bad in report.bad:
        typer.echo(f"bad: {bad.reason}")
    for finding in report.findings:
        typer.echo(_line(finding))
    clips = sum(sum(machine.clips.values()) for machine in report.machines)
    said = [f"{len(report.bad)} bad: mend them or move them away"] if report.bad else []
    said += [f"{len(report.errors)} errors"] if report.errors else []
    said += [f"{len(report.warnings)} warnings"] if report.warnings else []
    typer.echo(
        f"{clips} clips of {len(report.machines)} machine IDs, {', '.join(said) or 'all good'}"
    )


def _print_reading(report: Report) -> None:
    """Print the first clips of each kind, so that a person sees how the dataset was read."""
    for machine in report.machines[:SHOWN_MACHINES]:
        channel = "" if machine.channel is None else f", channel {machine.channel}"
        typer.echo(f"{machine.machine} {machine.machine_id}{channel}")
        for kind, names in machine.names.items():
            more = machine.counts[kind] - len(names)
            typer.echo(f"  {kind}: {', '.join(names)}{f' and {more} more' if more else ''}")
    if len(report.machines) > SHOWN_MACHINES:
        more = len(report.machines) - SHOWN_MACHINES
        typer.echo(f"and {more} more machine IDs: --json names clips of each")


def _line(finding: Finding) -> str:
    shown = ", ".join(finding.clips[:NAMED]) + (", …" if finding.count > NAMED else "")
    whose = f"{finding.machine} {finding.machine_id}"
    clips = "clip" if finding.count == 1 else "clips"
    return f"{finding.severity}: {whose}: {finding.kind} ({finding.count} {clips}): {finding.says}: {shown}"


def _row(machine: MachineCheck) -> dict[str, str]:
    clips = machine.clips
    return {
        "machine": machine.machine,
        "machine_id": machine.machine_id,
        "train": str(clips.get("train normal", "")),
        "test\nnormal": str(clips.get("test normal", "")),
        "test\nanomaly": str(clips.get("test anomaly", "")),
        "test\nunlabelled": str(clips.get("test unlabelled", "")),
        "source": str(machine.domains.get("source", "")),
        "target": str(machine.domains.get("target", "")),
        "Hz": _values(machine.sample_rates),
        "chan-\nnels": _values(machine.channels),
        "seconds": _range(*machine.seconds[:2]) if machine.seconds else "",
        "frames": _values(machine.frames),
        "dimensions": _values(machine.dimensions),
    }


def _values(values: list[int]) -> str:
    return ", ".join(map(str, values))


def _range(shortest: float, longest: float) -> str:
    low, high = f"{shortest:.1f}", f"{longest:.1f}"
    return low if low == high else f"{low} to {high}"
