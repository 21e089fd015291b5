"""A filled table as CSV, Markdown, JSON, and a page of HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thrum import storage
from thrum.bench.figures import Figure, Filled, told_steps
from thrum.bench.tables import Row
from thrum.evaluation.curves import svg
from thrum.evaluation.pages import environment
from thrum.evaluation.table import to_csv

CSV_COLUMNS = (
    "table",
    "row",
    "column",
    "published",
    "ours",
    "deviation",
    "difference",
    "seeds",
    "shortened",
    "steps",
    "errors",
)
SHORTENED = "†"


def write(folder: Path, filled: Filled) -> dict[str, Path]:
    """Write ``<table>.csv``, ``.md``, ``.json`` and ``.html`` into `folder`; return their paths."""
    name = file_name(filled)
    paths = {kind: folder / f"{name}.{kind}" for kind in ("csv", "md", "json", "html")}
    storage.write_text(paths["csv"], csv_of(filled))
    storage.write_text(paths["md"], markdown_of(filled))
    storage.write_json(paths["json"], records_of(filled))
    storage.write_text(paths["html"], html_of(filled))
    return paths


def file_name(filled: Filled) -> str:
    """Return how the table's files are called, without their suffix."""
    return filled.table.name.replace("/", "-")


def csv_of(filled: Filled) -> str:
    """Return one line a figure, numbers in full precision."""
    return to_csv(
        CSV_COLUMNS,
        (
            [
                filled.table.name,
                one.row,
                one.column,
                one.published,
                one.ours,
                one.deviation,
                one.difference,
                " ".join(map(str, one.seeds)),
                one.shortened,
                told_steps([one.steps]).replace(",", ""),
                "; ".join(one.errors),
            ]
            for one in filled.figures
        ),
    )


def records_of(filled: Filled) -> list[dict[str, Any]]:
    """Return the figures that have a number, for programs and for ``docs/results``."""
    return [
        {
            "table": filled.table.name,
            "row": one.row,
            "column": one.column,
            "dataset": filled.table.sources[one.source].title if one.source else "all",
            "metric": one.measure,
            "published": one.published,
            "mean": one.ours,
            "deviation": one.deviation,
            "difference": one.difference,
            "seeds": list(one.seeds),
            "command": filled.command,
            "shortened": one.shortened,
            "steps": list(one.steps),
            "errors": list(one.errors),
        }
        for one in filled.figures
        if one.ours is not None or one.published is not None or one.errors
    ]


def markdown_of(filled: Filled) -> str:
    """Return the table as Markdown: each method with its published numbers, ours, and the difference."""
    table = filled.table
    lines = [f"**{table.name}: {table.title}**"]
    for part in parts_of(filled):
        lines += ["", part.title, ""] if part.title else [""]
        lines += [f"| | | {' | '.join(part.header)} |", "|---|---|" + "---:|" * len(part.header)]
        lines += [
            f"| {name} | {label} | {' | '.join(cells)} |" for name, label, cells in part.lines
        ]
    lines += ["", *(f"{note}  " for note in notes_of(filled))]
    return "\n".join(lines).rstrip() + "\n"


class Part(NamedTuple):
    """Columns that are shown together; each line is a method's name, what of it is shown, its places."""

    title: str
    header: list[str]
    lines: list[tuple[str, str, list[str]]]


def parts_of(filled: Filled) -> list[Part]:
    """Return the table as text, part by part."""
    parts = []
    for title, columns in filled.table.groups.items():
        lines = [
            (row.name if number == 0 else "", label, cells)
            for row in filled.rows(columns)
            for number, (label, cells) in enumerate(_lines(row, filled.of(row, columns)))
        ]
        parts.append(Part(title, [column.name for column in columns], lines))
    return [part for part in parts if part.lines]


def _lines(row: Row, figures: Sequence[Figure]) -> list[tuple[str, list[str]]]:
    kinds: list[tuple[str, list[str]]] = []
    if any(one.published is not None for one in figures):
        kinds.append(("published", [plain(one.published) for one in figures]))
    if row.runs:
        mark = SHORTENED if any(one.shortened for one in figures) else ""
        kinds.append((f"ours{mark}", [ours(one) for one in figures]))
    if any(one.difference is not None for one in figures):
        kinds.append(("difference", [signed(one.difference) for one in figures]))
    return kinds


def notes_of(filled: Filled) -> list[str]:
    """Return what a reader of the table must know, line by line."""
    table = filled.table
    notes = ["All numbers in percent; ours: mean ± population standard deviation over the seeds."]
    if table.paper:
        notes.append(f"Published numbers: {table.paper}.")
    if table.note:
        notes.append(table.note)
    if filled.epochs is not None:
        notes.append(f"**Shortened: at most {filled.epochs} epochs (`--epochs`).**")
    for row in table.rows:
        figures = filled.of(row)
        seeds = sorted({one.seeds for one in figures if one.ours is not None})
        told = [row.note] if row.note else []
        shortened = dict.fromkeys(one.shortened for one in figures if one.shortened)
        told += [f"{SHORTENED} shortened: {text}" for text in shortened]
        if steps := told_steps(one.steps for one in figures):
            told.append(f"{steps} steps of the optimiser")
        if seeds:
            told.append(f"seeds {', '.join(' '.join(map(str, own)) for own in seeds)}")
        if told:
            notes.append(f"{row.name}: {'; '.join(told)}.")
    notes += [f"Missing: {error}" for error in filled.errors]
    return notes


def plain(value: float | None) -> str:
    """Return a number in percent, a dash for none."""
    return "–" if value is None else f"{value:.2f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def ours(figure: Figure) -> str:
    """Return mean and deviation, or that the cells failed."""
    if figure.ours is None:
        return "missing" if figure.errors else "–"
    deviation = "" if figure.deviation is None else f" ± {figure.deviation:.2f}"
    return plain(figure.ours) + deviation


def html_of(filled: Filled) -> str:
    """Return a self-contained page."""
    from markupsafe import Markup

    drawn = {
        curve.group: svg(filled.table.drawn(curve, filled.places)) for curve in filled.table.curves
    }
    templates = environment("thrum.bench", "thrum.evaluation")
    templates.filters.update(plain=plain, signed=signed, ours=ours)
    return templates.get_template("bench.html.j2").render(
        filled=filled,
        table=filled.table,
        mark=SHORTENED,
        twin=file_name(filled),
        curves={group: Markup(one) for group, one in drawn.items() if one},  # made of escaped names
        ticks=range(0, 101, 10),
        lowest=lambda values: min(50, 10 * math.floor(min(values, default=50) / 10)),
    )
