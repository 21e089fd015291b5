"""Our numbers in a table are means of the cells' scores, by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tables_of_tests
from thrum import storage
from thrum.bench import figures, pages
from thrum.bench.cells import SCHEMA, Cell
from thrum.bench.figures import Filled
from thrum.bench.running import Outcome
from thrum.bench.scores import CellScores, mean_of, measures
from thrum.bench.tables import Column, Table, load_table
from thrum.evaluation.table import ClipScores, write_scores
from thrum.types import Clip, Scores

VALUES = {("a", "id_00"): [0.9], ("a", "id_01"): [0.7], ("b", "id_00"): [0.5]}


@pytest.mark.parametrize(
    ("mean", "wanted"),
    [("machine_ids", 0.7), ("machines", 0.65), ("harmonic", 3 / (1 / 0.9 + 1 / 0.7 + 1 / 0.5))],
)
def test_means(mean: str, wanted: float) -> None:
    column = Column("x", "s", mean=mean)  # type: ignore[arg-type]
    assert mean_of(column, VALUES) == pytest.approx(wanted)
    assert mean_of(column, {}) is None


def clips(domains: bool) -> ClipScores:
    """Two normal clips and one anomaly of each domain; the target's normal clips score high."""
    return ClipScores(
        clips=tuple("abcdef"),
        labels=("normal", "normal", "anomaly") * 2,
        domains=("source",) * 3 + ("target",) * 3 if domains else (None,) * 6,
        columns={"m": np.array([0.0, 1.0, 4.0, 2.0, 5.0, 6.0])},
    )


def test_without_domains_there_are_auc_and_partial_auc() -> None:
    found = measures(clips(domains=False), "m")
    assert found["auc"] == pytest.approx(7 / 8)  # one of eight pairs is the wrong way round
    assert "auc_source" not in found


def test_a_domains_normal_clips_are_set_against_all_anomalies() -> None:
    found = measures(clips(domains=True), "m")
    assert found["auc_source"] == 1.0
    assert found["auc_target"] == pytest.approx(3 / 4)
    assert found["auc"] == pytest.approx(7 / 8)


def test_within_a_domain_only_its_own_anomalies_count() -> None:
    both = clips(domains=True)
    columns = {"m": np.array([0.0, 2.0, 5.0, 7.0, 1.0, 6.0, 3.0, 8.0])}
    labels = ["normal", "normal", "normal", "normal", "anomaly", "anomaly", "anomaly", "anomaly"]
    domains = ["source", "source", "target", "target"] * 2
    found = measures(replace(both, columns=columns, labels=labels, domains=domains), "m")
    assert found["auc_within_source"] == pytest.approx(3 / 4)  # 1 and 6 against 0 and 2
    assert found["auc_within_target"] == pytest.approx(2 / 4)  # 3 and 8 against 5 and 7
    assert found["auc_source"] == pytest.approx(7 / 8)


def cell_of(table: Table, out: Path, seed: int, auc: float) -> tuple[Cell, Path]:
    """A complete cell of two machine IDs; the first has `auc`, the second 1, a third no anomalies."""
    scores = {"id_00": [0.0, 1.0, 2.0, 3.0], "id_01": [0.0, 0.0, 0.0, 0.0], "id_02": [0.0, 1.0]}
    rows = []
    for machine_id, normal in scores.items():
        rows += [(machine_id, "normal", value) for value in normal]
    rows += [("id_00", "anomaly", 4 * auc - 0.5), ("id_01", "anomaly", 1.0)]
    test = Scores(
        [
            Clip(Path(f"{n}.wav"), "Press", i, "test", label=label)
            for n, (i, label, _) in enumerate(rows)
        ],  # type: ignore[arg-type]
        {"mean": np.array([value for _, _, value in rows])},
        "mean",
    )
    folder = out / f"seed{seed}"
    write_scores(folder / "scores", test)
    storage.write_json(
        folder / "cell.json",
        {
            "schema": SCHEMA,
            "machines": [["Press", machine_id] for machine_id in scores],
            "selected": "mean",
            "id_accuracy": [["Press", "id_00", 0.5], ["Hoist", "id_00", 1.0]],
            "seconds": 30.0,
            "steps": 1000 + seed,
        },
    )
    cell = Cell("knn", table.runs["knn"], "presses", table.sources["presses"], seed, None, out)
    return cell, folder


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    table = load_table(str(tables_of_tests.write(tmp_path)))
    folders = dict(cell_of(table, tmp_path, seed, auc) for seed, auc in ((0, 0.5), (1, 0.75)))
    failed = Cell(
        "autoencoder",
        table.runs["autoencoder"],
        "presses",
        table.sources["presses"],
        0,
        None,
        tmp_path,
    )
    return figures.fill(
        table, Outcome(folders, {failed: "autoencoder: no <room>"}), command="thrum bench"
    )


def test_figures_are_means_over_seeds_beside_what_is_published(filled: Filled) -> None:
    one, mean, _ = filled.of(filled.table.rows[0])
    assert (one.ours, one.deviation) == (pytest.approx(62.5), pytest.approx(12.5))
    assert one.difference == pytest.approx(62.5 - 75)
    assert mean.ours == pytest.approx(
        (62.5 + 100) / 2
    )  # id_02 has no anomalies and counts for none
    assert mean.seeds == (0, 1)
    theirs = filled.of(filled.table.rows[2])[1]
    assert (theirs.published, theirs.ours, theirs.difference) == (70.0, None, None)
    assert filled.errors == ["autoencoder: no <room>"]
    assert filled.minutes == 1.0


def test_machine_ids_that_only_train_count_in_id_accuracy(tmp_path: Path) -> None:
    table = load_table(str(tables_of_tests.write(tmp_path)))
    scores = CellScores(cell_of(table, tmp_path, 0, 0.5)[1])
    column = Column("x", "presses", "id_accuracy")
    assert mean_of(column, scores.values(column, "")) == 0.75
    assert scores.values(replace(column, machine="Hoist"), "") == {("Hoist", "id_00"): [1.0]}
    assert scores.values(Column("x", "presses"), "unknown") == {}


def test_csv_holds_every_place(filled: Filled) -> None:
    header, *lines = pages.csv_of(filled).splitlines()
    assert header == ",".join(pages.CSV_COLUMNS)
    assert len(lines) == 9
    assert lines[0] == "small,neighbours,id_00,75.0,62.5,12.5,-12.5,0 1,,1000 to 1001,"
    assert lines[4] == "small,autoencoder,mean,,,,,,3 of 100 epochs,,autoencoder: no <room>"


def test_markdown_shows_published_ours_and_difference(filled: Filled) -> None:
    lines = pages.markdown_of(filled).splitlines()
    assert lines[2] == "| | | id_00 | mean | mean pAUC |"
    assert lines[4:7] == [
        "| neighbours | published | 75.00 | 80.00 | – |",
        "|  | ours | 62.50 ± 12.50 | 81.25 ± 6.25 | 73.68 ± 0.00 |",
        "|  | difference | −12.50 | +1.25 | – |",
    ]
    assert lines[7] == "| autoencoder | ours† | missing | missing | missing |"
    assert lines[8] == "| theirs | published | – | 70.00 | – |"
    assert "autoencoder: † shortened: 3 of 100 epochs.  " in lines
    assert "Missing: autoencoder: no <room>" in lines[-1]


def test_the_page_is_whole_and_fetches_nothing(filled: Filled) -> None:
    page = pages.html_of(filled)
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"(?!small\.)", page)
    assert "62.50 ± 12.50" in page
    assert "75.00 · −12.50" in page
    assert "no &lt;room&gt;" in page
    assert page.count("†") >= 2


def test_a_row_says_how_many_steps_its_optimiser_took(filled: Filled) -> None:
    assert "neighbours: 1,000 to 1,001 steps of the optimiser; seeds 0 1.\n" in (
        pages.markdown_of(filled).replace("  \n", "\n")
    )
    assert '<td class="number">1,000 to 1,001</td>' in pages.html_of(filled)
    assert pages.records_of(filled)[0]["steps"] == [1000, 1001]
    assert figures.told_steps([(0, 0), (7, 7)]) == "7"
    assert figures.told_steps([(0, 0)]) == ""


def test_a_run_of_fewer_epochs_is_marked_everywhere(filled: Filled, tmp_path: Path) -> None:
    table = filled.table
    cell, folder = cell_of(table, tmp_path / "short", 0, 0.5)
    short = Cell(
        **{**{name: getattr(cell, name) for name in cell.__dataclass_fields__}, "epochs": 2}
    )
    outcome = Outcome({short: folder})
    marked = figures.fill(table, outcome)
    assert "at most 2 epochs" in pages.csv_of(marked).splitlines()[1]
    assert "**Shortened: at most 2 epochs (`--epochs`).**" in pages.markdown_of(marked)
    assert "A shortened run:" in pages.html_of(marked)
    assert {one["shortened"] for one in pages.records_of(marked) if one["mean"] is not None} == {
        "at most 2 epochs"
    }
