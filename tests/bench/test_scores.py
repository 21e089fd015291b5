"""A place of a table that is empty: rightly, or because a name in the table is of nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import machines
import tables_of_tests
from thrum import storage
from thrum.bench import figures
from thrum.bench.cells import SCHEMA, Cell
from thrum.bench.figures import Figure
from thrum.bench.running import Outcome
from thrum.bench.tables import load_table
from thrum.evaluation.table import write_scores
from thrum.types import Clip, Scores


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Presses id_00 to id_02, the last without anomalies, and a hoist that only trains."""
    machines.write_arrays(tmp_path / "data" / "presses", clips=4)
    frames = np.stack(machines.frames(np.random.default_rng(0), 7, clips=4))
    np.savez(tmp_path / "data" / "presses" / "Hoist_id_00.npz", train_normal=frames)
    return tmp_path


def first(data: Path, before: str = "", after: str = "") -> Figure:
    """The first place of the small table, one thing in it changed, from a cell made by hand."""
    assert before in tables_of_tests.TOML
    path = data / "small.toml"
    path.write_text(tables_of_tests.TOML.replace(before, after, 1), encoding="utf-8")
    table = load_table(str(path))
    source = table.sources["presses"]
    cell = Cell("knn", table.runs["knn"], "presses", source, 0, data / "data", data)
    for machine_id, labels in (("id_00", ("normal", "anomaly")), ("id_02", ("normal", "normal"))):
        clips = [
            Clip(Path(f"{n}.wav"), "Press", machine_id, "test", label=label)  # type: ignore[arg-type]
            for n, label in enumerate(labels)
        ]
        columns = {"mean": np.arange(2.0)}
        if machine_id == "id_00":  # as of a collaboration, that says nothing of a lone machine
            columns["fused"] = np.arange(2.0)
        write_scores(data / "cell" / "scores", Scores(clips, columns, "mean"))
    described = {
        "schema": SCHEMA,
        "machines": [["Press", "id_00"], ["Press", "id_02"]],
        "selected": "mean",
        "id_accuracy": [],
        "seconds": 1.0,
    }
    storage.write_json(data / "cell" / "cell.json", described)
    return figures.fill(table, Outcome({cell: data / "cell"})).figures[0]


@pytest.mark.parametrize("method", ["mean", "fused", ""])
def test_names_that_are_there_make_a_figure(data: Path, method: str) -> None:
    figure = first(data, 'method = "mean"', f'method = "{method}"')
    assert (figure.ours, figure.errors) == (100.0, ())


def test_a_method_that_there_is_not_is_an_error(data: Path) -> None:
    figure = first(data, 'method = "mean"', 'method = "maen"')
    assert figure.ours is None
    assert figure.errors == (
        "row 'neighbours': knn on presses has no scores called 'maen'; there are: mean, fused",
    )


@pytest.mark.parametrize(
    ("before", "after", "there_are"),
    [
        ('machine = "Press"', 'machine = "Pres"', "no machine Pres/id_00; there are: Hoist, Press"),
        (
            'machine_id = "id_00"',
            'machine_id = "id_09"',
            "no machine Press/id_09; there are: Press/id_00, Press/id_01, Press/id_02",
        ),
        (
            'machine = "Press"\nmachine_id = "id_00"',
            'machine_id = "id_09"',
            "no machine id_09; there are: Hoist/id_00, Press/id_00, Press/id_01, Press/id_02",
        ),
    ],
)
def test_a_machine_that_the_data_do_not_have_is_an_error(
    data: Path, before: str, after: str, there_are: str
) -> None:
    figure = first(data, before, after)
    assert figure.ours is None
    assert figure.errors == (f"column 'id_00': presses has {there_are}",)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('machine_id = "id_00"', 'machine_id = "id_02"'),  # no anomalies
        ('machine = "Press"', 'machine = "Hoist"'),  # is not tested
        ('machine_id = "id_00"', 'machine_id = "id_00"\nmeasure = "id_accuracy"'),  # k-NN has none
        ('machine_id = "id_00"', 'machine_id = "id_00"\nmeasure = "auc_source"'),  # no domains
    ],
)
def test_what_there_cannot_be_stays_empty(data: Path, before: str, after: str) -> None:
    figure = first(data, before, after)
    assert (figure.ours, figure.errors) == (None, ())
