"""``thrum evaluate``: the official figures of a DCASE submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console

if TYPE_CHECKING:
    from thrum.evaluation import Evaluation

HEADINGS = {
    "auc_source": "AUC\nsrc",
    "auc_target": "AUC\ntgt",
    "auc": "AUC\nall",
    "pauc_source": "pAUC\nsrc",
    "pauc_target": "pAUC\ntgt",
    "pauc": "pAUC\nall",
    "precision_source": "prec.\nsrc",
    "precision_target": "prec.\ntgt",
    "recall_source": "rec.\nsrc",
    "recall_target": "rec.\ntgt",
    "f1_source": "F1\nsrc",
    "f1_target": "F1\ntgt",
}
NARROWEST = 80  # characters that the table needs


def evaluate(
    truth: Annotated[Path, typer.Option(help="The organisers' ground truth.")],
    scores: Annotated[Path, typer.Option(help="The folder of one submission.")],
    year: Annotated[int, typer.Option(help="Whose rules: 2020 to 2025.")],
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="A CSV file, one row a section.")] = None,
) -> None:
    """Evaluate a submission to DCASE Challenge Task 2 as the organisers do."""
    from thrum import evaluation, storage
    from thrum.evaluation.table import to_csv

    result = evaluation.evaluate(truth, scores, year)
    if out is not None:
        rows = (
            [machine, section, *values.values()]
            for machine, sections in result.machines.items()
            for section, values in sections.items()
        )
        storage.write_text(out, to_csv(["machine", "section", *result.measures], rows))
    if json:
        console.print_json(result.to_dict())
    else:
        _show(result)


def _show(result: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    from thrum.evaluation.metrics import arithmetic_mean, harmonic_mean

    means = {"arithmetic mean": arithmetic_mean, "harmonic mean": harmonic_mean}
    shown = [
        measure for measure in HEADINGS if measure in result.measures and result.values(measure)
    ]
    if "pauc_source" in shown:  # 2021 tests the domains apart
        shown = [measure for measure in shown if measure not in ("auc", "pauc")]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("%", no_wrap=True)
    for measure in shown:
        table.add_column(HEADINGS[measure], justify="right", no_wrap=True)

    def add_means(machine: str | None) -> None:
        for name, mean in means.items():
            cells = (mean(result.values(measure, machine=machine)) for measure in shown)
            table.add_row(f"  {name}", *map(_percent, cells), style="italic")

    for machine, sections in result.machines.items():
        table.add_row(machine, style="bold")
        for section, values in sections.items():
            table.add_row(f"  {section}", *(_percent(values[m]) for m in shown))
        if len(sections) > 1:
            add_means(machine)
    table.add_row("all machines", style="bold")
    add_means(None)
    width = max(Console().width, NARROWEST)
    Console(width=width, markup=False, emoji=False).print(table)  # names may hold [brackets]
    for line in _conclusion(result):
        typer.echo(line)


def _conclusion(result: Evaluation) -> list[str]:
    from thrum.evaluation.dcase.rules import rules_of

    official = rules_of(result.year).official
    lines = ["", f"year            {result.year}, {result.n_clips} clips"]
    if result.official_score is None:
        lines.append("official score  none: 2020 compared the means of each machine")
    else:
        lines.append(
            f"official score  {result.official_score:.6f}, "
            f"the harmonic mean of {len(result.values(*official))} values"
        )
    if result.ci95 is not None:
        textbook = result.ci95 * (result.n_clips - 1)
        lines.append(f"ci95            ±{result.ci95:.3g} as the organisers print it")
        lines.append(f"                ±{textbook:.3g} as the jackknife is defined")
    if official and not result.values("f1_source"):
        lines.append("decisions       none submitted: no precision, recall and F1")
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
