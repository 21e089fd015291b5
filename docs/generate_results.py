"""Write docs/results.md from measured records, so that no number in it is typed by hand.

    python docs/generate_results.py [--check]

``docs/results/<name>.json`` holds what a command wrote or printed as JSON: a list of records with
``table``, ``row``, ``column``, ``mean``, ``deviation``, ``seeds``, ``shortened`` and ``command``;
``docs/results.md.j2`` is the text around them. Learning curves become ``docs/images/curve-….svg``.
``--check`` writes nothing and fails where page or pictures are not what the records make.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from thrum.bench.figures import told_steps
from thrum.bench.needs import costs, lines_of, need_of, processors
from thrum.bench.tables import Curve, load_table, table_names
from thrum.evaluation.curves import svg
from thrum.systems.embedding_sharing import FramePool, IDClassifier, preset_config
from thrum.systems.embedding_sharing.classifier import Shape
from thrum.systems.embedding_sharing.traffic import traffic

DOCS = Path(__file__).parent
PAGE = DOCS / "results.md"
SHORTENED = "†"
RECORDS_WITH_CURVES = ("few-clips",)

Record = dict[str, Any]


def main() -> None:
    """Write the page, or check it."""
    for path, content in {PAGE: rendered(), **pictures()}.items():
        if "--check" not in sys.argv:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            sys.exit(f"{path} is not what the records in {DOCS / 'results'} make: make results")


def rendered() -> str:
    """Return the page."""
    environment = Environment(
        loader=FileSystemLoader(DOCS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("results.md.j2").render(
        records=records,
        table=table,
        curve=curve,
        draws=draws,
        by_machine=by_machine,
        losses=losses,
        value=value,
        cell=cell,
        over=over,
        above=above,
        before=before_and_now,
        published=published,
        shortened=shortened,
        seeds=seeds,
        commands=commands,
        costs=what_a_clip_costs,
        needs=needs,
        bound=pooled_bound,
        sent=what_a_site_sends,
        printed=printed,
    )


def records(name: str) -> list[Record]:
    """Return the records in ``docs/results/<name>.json``."""
    found: list[Record] = json.loads(
        (DOCS / "results" / f"{name}.json").read_text(encoding="utf-8")
    )
    return found


def printed(name: str, table: str) -> str:
    """Return a table that a script of ``benchmarks`` printed, from ``docs/results/monitoring``."""
    path = DOCS / "results" / "monitoring" / f"{name}.json"
    return markdown(json.loads(path.read_text(encoding="utf-8"))[table])


def table(
    name: str,
    *,
    group: str = "",
    rows: Sequence[str] = (),
    without: Sequence[str] = (),
    first: str = "method",
) -> str:
    """Return Markdown: methods down, the columns of `group` across but those `without`."""
    prefix = f"{group}: " if group else ""
    chosen = [
        one
        for one in records(name)
        if one["column"].startswith(prefix)
        and one["column"].removeprefix(prefix) not in without
        and one["mean"] is not None
    ]
    columns = list(dict.fromkeys(one["column"] for one in chosen))
    places = {(one["row"], one["column"]): one for one in chosen}
    lines = [[first, *(column.removeprefix(prefix) for column in columns)]]
    for row in rows or list(dict.fromkeys(one["row"] for one in chosen)):
        own = [places.get((row, column)) for column in columns]
        mark = f" {SHORTENED}" if any(one and one["shortened"] for one in own) else ""
        lines.append([f"{row}{mark}", *(figure(one) for one in own)])
    return markdown(lines)


def curve(name: str, group: str) -> str:
    """Return Markdown that shows the learning curves of `group`."""
    (one,) = [one for one in load_table(name).curves if one.group == group]
    path = picture_path(name, one)
    return f"![{group}: learning curves]({path.relative_to(DOCS).as_posix()})"


def draws(name: str) -> int:
    """Return how many seeds there are at most."""
    return max(len(one["seeds"]) for one in records(name))


def by_machine(name: str, clips: Sequence[str], rows: Sequence[str]) -> str:
    """Return Markdown: machine IDs down, numbers of clips and within them `rows` across."""
    machines = [one for one in load_table(name).curves if one.machine]
    header = [f"{row}, {number}" for number in clips for row in rows]
    lines = [["machine ID", *header]]
    for one in machines:
        title = one.group.partition(", one site short")[0]
        keys = [f"{one.group}: {number}" for number in clips]
        lines.append([title, *(cell(name, row, key) for key in keys for row in rows)])
    return markdown(lines)


def losses(name: str, alone: Sequence[str], row: str) -> str:
    """Return on which machines and with how many clips `row` is a point or more below the best of `alone`."""
    places = {(one["row"], one["column"]): one["mean"] for one in records(name)}
    found = []
    for one in load_table(name).curves:
        for column in one.columns if one.machine else ():
            best = max(places[other, column.key] for other in alone)
            if (lost := best - places[row, column.key]) >= 1:
                where = f"`{one.machine} {one.machine_id}` with {column.clips} clips"
                found.append(f"{where} ({lost:.1f} points)")
    return ", ".join(found) or "none"


def pictures() -> dict[Path, str]:
    """Return the learning curves of AUC over all machine IDs, by where they are kept."""
    found: dict[Path, str] = {}
    for name in RECORDS_WITH_CURVES:
        chosen = load_table(name)
        places = {
            (one["row"], one["column"]): (one["mean"], one["deviation"] or 0.0)
            for one in records(name)
            if one["mean"] is not None
        }
        for one in chosen.curves:
            if (
                one.measure == "auc"
                and not one.machine
                and (drawn := svg(chosen.drawn(one, places)))
            ):
                found[picture_path(name, one)] = drawn
    return found


def picture_path(name: str, one: Curve) -> Path:
    """Return where the learning curves are kept."""
    return DOCS / "images" / f"curve-{name}-{one.source}-{one.others}.svg"


def value(name: str, row: str, column: str) -> str:
    """Return one mean, in percent to one place."""
    return figure({**record(name, row, column), "deviation": None})


def cell(name: str, row: str, column: str) -> str:
    """Return one mean ± deviation, in percent to one place."""
    return figure(record(name, row, column))


def over(name: str, row: str, group: str) -> str:
    """Return mean ± deviation over the columns of `group`, which are draws of the data."""
    found = [
        one["mean"]
        for one in records(name)
        if one["row"] == row and one["column"].startswith(f"{group}: ")
    ]
    return figure({"mean": statistics.fmean(found), "deviation": statistics.pstdev(found)})


def above(name: str, row: str, other: str, group: str) -> str:
    """Return by how much a row is above another in each column of `group`, in points."""
    columns = [one["column"] for one in records(name) if one["row"] == row]
    own = [column for column in columns if column.startswith(f"{group}: ")]
    pairs = [
        (record(name, row, column)["mean"], record(name, other, column)["mean"]) for column in own
    ]
    return ", ".join(f"{one - two:+.1f}" for one, two in pairs)


def before_and_now(system: str) -> str:
    """Return Markdown: the scores of a system as an earlier version had them, each beside today's record.

    ``before.json`` holds the earlier records, and where today's are.
    """
    found = [one for one in records("before") if one["row"].startswith(system)]
    columns = list(dict.fromkeys(one["column"] for one in found))
    lines = [["score", *(f"{column}: {when}" for column in columns for when in ("before", "now"))]]
    for row in dict.fromkeys(one["row"] for one in found):
        cells = [row.removeprefix(f"{system}, ")]
        for column in columns:
            own = [one for one in found if (one["row"], one["column"]) == (row, column)]
            cells += [figure(own[0]), cell(*own[0]["now"])] if own else ["–", "–"]
        lines.append(cells)
    return markdown(lines)


def record(name: str, row: str, column: str) -> Record:
    """Return one record."""
    (one,) = [r for r in records(name) if (r["row"], r["column"]) == (row, column)]
    return one


def published(name: str, row: str, column: str) -> str:
    """Return a number that a paper prints."""
    (one,) = [one for one in load_table(name).rows if one.name == row]
    return f"{one.published[column]:g}"


def shortened(name: str) -> str:
    """Return in what the marked rows are less than the published experiments."""
    rows: dict[str, dict[str, None]] = {}
    for one in records(name):
        if one["shortened"]:
            rows.setdefault(one["shortened"], {})[one["row"]] = None
    return listed(rows, f"row marked {SHORTENED}")


def seeds(name: str) -> str:
    """Return which seeds each row has, and how many steps the optimiser took where that was counted."""
    rows: dict[str, dict[str, None]] = {}
    for one in records(name):
        if one["seeds"]:
            told = f"seeds {', '.join(map(str, one['seeds']))}"
            if steps := told_steps([one.get("steps", (0, 0))]):
                told += f", {steps} steps of the optimiser each"
            rows.setdefault(told, {})[one["row"]] = None
    return listed(rows, "row")


def listed(rows: dict[str, dict[str, None]], what: str) -> str:
    """Return a line for each text, with the rows that it is about; most of all rows are not named."""
    everything = {row for own in rows.values() for row in own}
    most = max(rows, key=lambda text: len(rows[text]))
    others = {row for text, own in rows.items() if text != most for row in own}
    short = 2 * len(rows[most]) > len(everything) and not others & set(rows[most])
    named = [text for text in rows if not (short and text == most)]
    lines = [f"- {'; '.join(rows[text])}: {text}" for text in named]
    return "\n".join(lines + [f"- every {'other ' if lines else ''}{what}: {most}"] * short)


def commands(name: str) -> str:
    """Return the commands that the records are from."""
    return "\n".join(dict.fromkeys(one["command"] for one in records(name)))


def what_a_clip_costs() -> str:
    """Return the measured costs of a clip, as Markdown."""
    measured = costs()
    devices = {device: names for device, names in processors(measured).items() if names}
    header = ["run"]
    for names in devices.values():
        header += [f"training, {', '.join(names)}", "scoring"]
    lines = [header]
    for run, by_device in sorted(measured.items()):
        seconds = [
            f"{by_device[device][what]:.3g} s" if device in by_device else "–"
            for device in devices
            for what in ("train_seconds", "test_seconds")
        ]
        lines.append([f"`{run}`", *seconds])
    return markdown(lines)


def needs() -> str:
    """Return what each published table would need, as Markdown."""
    header, rows = lines_of(
        need_of(load_table(name), costs()) for name in table_names() if "/" in name
    )
    return markdown([header, *rows])


POOLED = {
    "ID classifier and statistics (fused)": (
        ("testbed", "sites together: fused"),
        ("embedders", "logmel, together, fused"),
    ),
    **{
        row: (("testbed", row), ("testbed", row))
        for row in (
            "self-supervised, experiment 1 by distance (eq. 7)",
            "multitask conformer, a_maha",
            "multitask conformer, all three",
            "outlier exposure, OE",
            "outlier exposure, OE-Flow",
        )
    },
}
"""Systems that learn from the pooled log-mel: the records of each on ToyCar and on audio."""


def pooled_bound() -> str:
    """Return what pooled log-mel reaches, also where the other machine IDs choose the system."""
    found = {
        system: {
            (data, one["column"].rpartition(": ")[2]): one["mean"]
            for data, (name, row) in zip(("ToyCar", "audio"), places, strict=True)
            for one in records(name)
            if one["row"] == row and one["column"].rpartition(": ")[2] != "mean"
            if one["column"].rpartition(": ")[0] in (f"{data}, AUC", "AUC")
        }
        for system, places in POOLED.items()
    }
    machines = list(next(iter(found.values())))
    chosen = "chosen for each machine ID by the mean over the others"
    found[chosen] = {
        left: max(
            (statistics.fmean(v for one, v in own.items() if one != left), own[left])
            for own in found.values()
        )[1]
        for left in machines
    }
    lines = [["on pooled log-mel", "ToyCar", "audio", "all machine IDs"]]
    for system, own in found.items():
        assert own.keys() == set(machines), system
        means = [
            statistics.fmean(value for one, value in own.items() if data in ("", one[0]))
            for data in ("ToyCar", "audio", "")
        ]
        lines.append([system, *(f"{mean:.1f}" for mean in means)])
    return markdown(lines)


def what_a_site_sends() -> str:
    """Return the bytes that a ToyCar site sends until it has a classifier, by what is shared."""
    clip = np.broadcast_to(np.float16(0), (200, 128))
    pool = FramePool({("ToyCar", f"id_0{number}"): [clip] * 150 for number in range(1, 5)})
    shape = Shape(pool.dimensions, 128, None)  # 0.64 of 200 frames
    lines = [["what is shared", "up", "down"]]
    for told, settings in (
        ("embeddings", ()),
        ("weights, 1 step a round", ("training=fedavg", "norm=group")),
        ("weights, 8 steps a round", ("training=fedavg", "norm=group", "local_steps=8")),
        ("activations and gradients, 1 step a turn", ("training=split", "norm=group")),
    ):
        config = preset_config("compact", assignments=settings)
        found = traffic(pool, IDClassifier(pool.keys, shape, config))
        lines.append([told, f"{found.up / 1e6:,.1f} MB", f"{found.down / 1e6:,.1f} MB"])
    return markdown(lines)


def figure(one: Record | None) -> str:
    """Return mean ± deviation, in percent to one place."""
    if one is None or one["mean"] is None:
        return "–"
    deviation = one["deviation"]
    return f"{one['mean']:.1f}" + (f" ± {deviation:.1f}" if deviation else "")


def markdown(lines: Iterable[Sequence[str]]) -> str:
    """Return lines of cells as a table."""
    header, *rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([header, "|---|" + "---:|" * (header.count("|") - 2), *rows])


if __name__ == "__main__":
    main()
