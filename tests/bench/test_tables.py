"""The tables that come with thrum: whole, consistent with themselves, and of settings that exist."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from thrum import config as configs
from thrum.bench.cells import Cell
from thrum.bench.few_clips.filling import methods_of
from thrum.bench.tables import COLLABORATION, FEW_CLIPS, Table, load_table, table_names
from thrum.errors import ConfigError, UnknownNameError
from thrum.evaluation.metrics import harmonic_mean
from thrum.systems.base import SYSTEMS
from thrum.systems.embedding_sharing import METHODS as SHARED
from thrum.systems.embedding_sharing import PRESETS
from thrum.systems.multitask_conformer.scoring import COMBINATIONS
from thrum.systems.multitask_conformer.system import COMBINED
from thrum.systems.outlier_flow import OutlierFlow
from thrum.systems.outlier_flow.combining import Pair, columns_of
from thrum.systems.outlier_flow.system import BY_LABELS
from thrum.systems.outlier_flow.variants import ENSEMBLES, VARIANTS, members_of

WANTED = {
    "embedding-sharing/table1",
    "embedding-sharing/id-accuracy",
    *(f"multitask-conformer/table{number}" for number in (1, 2, 3)),
    *(f"outlier-flow/table{number}" for number in (2, 3, 4)),
    *(f"self-supervised/table{number}" for number in (2, 3, 4, 5, 6)),
    "few-clips",
    "harmful-sites",
    "testbed",
    "synthetic",
}


OURS = sorted(map(str, (Path(__file__).parents[2] / "benchmarks" / "tables").glob("*.toml")))


def of_flow(config: Any) -> Iterable[str]:
    """The scores of an outlier flow: what it makes of members that are all alike."""
    pair = Pair(np.arange(3.0), np.arange(3.0))
    members = {}
    for name in members_of(config.variant):
        variant = VARIANTS[name]
        inlier = ("gmm-1-x", "knn-1-x") if "knn" in variant.families else ()
        flow = ("flow",) if variant.flow else ()
        members[name] = dict.fromkeys(("machine", *flow, *inlier), pair)
    offered = list(columns_of(members, OutlierFlow(config)._enters))
    by_labels = [name for name in offered if name in (*VARIANTS, *ENSEMBLES)]
    return offered + [f"{name}/{BY_LABELS}" for name in by_labels if config.also_by_test_labels]


def of_baseline(name: str) -> Callable[[Any], Iterable[str]]:
    return lambda config: SYSTEMS.load(name).methods  # type: ignore[attr-defined]


def by_setting(config: Any) -> Iterable[str]:
    """The scores of a system of which all can be selected by its setting `score`."""
    return get_args(get_type_hints(type(config))["score"])


OFFERED: dict[str, Callable[[Any], Iterable[str]]] = {
    COLLABORATION: lambda config: SHARED,
    FEW_CLIPS: methods_of,
    "embedding-sharing": lambda config: SHARED,
    "knn": by_setting,
    "multitask-conformer": lambda config: (*COMBINATIONS, COMBINED),
    "outlier-flow": of_flow,
    "self-supervised": by_setting,
    **{
        name: of_baseline(name)
        for name in ("autoencoder", "glow", "idnn", "mobilenetv2", "vae", "vidnn")
    },
}
"""By system, what a row's `method` may be, of a run's settings."""


def published(name: str) -> dict[str, dict[str, float]]:
    return {row.name: dict(row.published) for row in load_table(name).rows}


def test_there_is_every_table() -> None:
    assert set(table_names()) == WANTED


@pytest.mark.parametrize("name", [*sorted(WANTED), *OURS], ids=lambda name: Path(name).stem)
def test_every_run_has_settings_that_its_system_knows(name: str) -> None:
    table = load_table(name)
    for run_name, run in table.runs.items():
        assert run.system in (COLLABORATION, FEW_CLIPS) or run.system in SYSTEMS
        for source in table.sources_of(run_name):
            cell = Cell(run_name, run, source, table.sources[source], 0, None, Path())
            config = cell.config()
            assert_has(configs.to_mapping(config), run.settings)
            for row in table.rows:
                if run_name in row.runs and row.method:
                    assert row.method in OFFERED[run.system](config), row.name


def assert_has(config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            assert_has(config[key], value)
        else:
            assert config[key] == value, key


@pytest.mark.parametrize("name", ["embedding-sharing/table1", "embedding-sharing/id-accuracy"])
def test_embedding_sharing_is_run_as_its_paper_runs_it(name: str) -> None:
    """Section V-B: one classifier a machine type, four frozen models, nothing else changed."""
    table = load_table(name)
    embedders = {
        "yamnet": "YAMNet",
        "panns": "PANNs",
        "openl3": "OpenL3-512",
        "openl3_6144": "OpenL3-6144",
    }
    found = {}
    for row in table.rows:
        for run_name in row.runs:
            run = table.runs[run_name]
            if run.system == COLLABORATION:
                cell = Cell(run_name, run, "dev", table.sources["dev"], 0, None, Path())
                config = cell.config()
                assert replace(config, embedder="x") == replace(PRESETS["paper"], embedder="x")
                assert cell.per_machine_type
                assert row.method == ("network" if "table1" in name else "")
                found[config.embedder] = row.name
    assert found.keys() == embedders.keys()
    assert all(embedders[key] in found[key] for key in found)


def test_there_are_the_scores_of_every_system() -> None:
    assert set(OFFERED) == {COLLABORATION, FEW_CLIPS, *SYSTEMS}


def test_scores_that_a_flow_does_not_offer_are_not_among_those_that_it_does() -> None:
    alone = set(OFFERED["outlier-flow"](OutlierFlow.Config(variant="OE-DFlow")))
    assert alone == {"OE-DFlow", *(f"OE-DFlow/{one}" for one in ("gmm", "knn", "flow", "machine"))}
    serial = set(OFFERED["outlier-flow"](OutlierFlow.Config(variant="SerialOE-Flow")))
    assert serial == {"SerialOE-Flow", "SerialOE-Flow/machine"}  # "…/flow" is the variant itself


@pytest.mark.parametrize(
    "name", sorted(WANTED - {"few-clips", "harmful-sites", "testbed", "synthetic"})
)
def test_a_papers_table_says_where_its_data_and_its_numbers_are_from(name: str) -> None:
    table = load_table(name)
    assert table.paper
    assert all(row.published for row in table.rows)
    for source in table.sources.values():
        assert source.fetch.startswith(("dcase2020", "dcase2022", "dcase2023", "mimii"))
        assert source.disk_bytes > 1e9
        assert "thrum data fetch" in (source.missing(None) or "")


def test_the_published_numbers_of_embedding_sharing_add_up() -> None:
    for row in published("embedding-sharing/table1").values():
        total = row.pop("total")
        machine_ids = {machine: 3 if machine == "ToyConveyor" else 4 for machine in row}
        mean = sum(row[machine] * count for machine, count in machine_ids.items()) / 23
        assert mean == pytest.approx(total, abs=0.15)


@pytest.mark.parametrize("number", [2, 3])
def test_the_published_numbers_of_the_conformer_add_up(number: int) -> None:
    for row in published(f"multitask-conformer/table{number}").values():
        average = row.pop("Average")
        assert statistics.fmean(row.values()) == pytest.approx(average, abs=0.03)


def test_the_published_numbers_of_the_conformer_on_mimii_add_up() -> None:
    for name, row in published("multitask-conformer/table1").items():
        for snr in ("-6", "0", "6"):
            own = [row[f"{machine} {snr} dB"] for machine in ("Fan", "Pump", "Valve", "Slide rail")]
            assert statistics.fmean(own) == pytest.approx(row[f"average {snr} dB"], abs=0.011), name
        averages = [row[f"average {snr} dB"] for snr in ("-6", "0", "6")]
        assert statistics.fmean(averages) == pytest.approx(row["average"], abs=0.011), name


@pytest.mark.parametrize("number", [2, 3])
def test_the_published_numbers_of_the_flow_add_up(number: int) -> None:
    for row in published(f"outlier-flow/table{number}").values():
        total = row.pop("hmean")
        assert harmonic_mean(row.values()) == pytest.approx(total, abs=0.02)


def test_the_official_score_of_the_flow_is_the_harmonic_mean_over_machines() -> None:
    for row in published("outlier-flow/table4").values():
        total = row.pop("official")
        assert harmonic_mean(row.values()) == pytest.approx(total, abs=0.02)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_the_total_of_self_supervised_is_the_harmonic_mean_over_machines(number: int) -> None:
    for row in published(f"self-supervised/table{number}").values():
        total = row.pop("total")
        assert harmonic_mean(row.values()) == pytest.approx(total, abs=0.02)


def test_one_experiment_has_the_same_numbers_in_every_table() -> None:
    seen: dict[str, dict[str, float]] = {}
    for number in (2, 3, 4, 5):
        for name, row in published(f"self-supervised/table{number}").items():
            assert seen.setdefault(name, row) == row
    assert seen["experiment 6"] == published("self-supervised/table6")["Our Method"]


TOML = """
title = "T"
[sources.a]
title = "A"
[runs.knn]
system = "knn"
[[columns]]
name = "mean"
source = "a"
[[rows]]
name = "k-NN"
runs = ["knn"]
published = { mean = 90.0 }
"""
CURVE = """
[[curves]]
group = "one site short"
source = "a"
clips = ["2", "10", "all"]
others = "short"
"""


def table_of(tmp_path: Path, text: str) -> Table:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return load_table(str(path))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('title = "T"', 'titel = "T"', "unknown setting 'titel'. Did you mean 'title'"),
        ('system = "knn"', 'sytem = "knn"', "runs: unknown setting 'sytem'"),
        ('source = "a"', 'source = "b"', "column 'mean': source 'b' is not among: a"),
        ('runs = ["knn"]', 'runs = ["nn"]', "row 'k-NN': run 'nn' is not among: knn"),
        ("{ mean = 90.0 }", "{ man = 90.0 }", "published in column 'man' is not among: mean"),
        ("mean = 90.0", 'mean = "90"', "wanted float"),
        ('runs = ["knn"]', 'runs = ["knn", "knn"]', "two runs on 'a'"),
        ('title = "T"', 'title = "T', "not valid TOML"),
    ],
)
def test_a_table_that_is_none_is_said(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert table_of(tmp_path, TOML).name == "own"
    with pytest.raises(ConfigError, match=message):
        table_of(tmp_path, TOML.replace(before, after))


def test_a_curve_is_columns_that_are_drawn(tmp_path: Path) -> None:
    table = table_of(tmp_path, TOML + CURVE)
    assert [column.key for column in table.columns] == [
        "mean",
        *(f"one site short: {clips}" for clips in ("2", "10", "all")),
    ]
    assert [column.scores_called("pool") for column in table.columns] == [
        "pool",
        "pool@2/short",
        "pool@10/short",
        "pool@all",  # where all have all there is nothing short
    ]
    assert table.only("knn").columns == table.columns


def test_a_curve_has_a_line_for_each_row_that_is_drawn(tmp_path: Path) -> None:
    table = table_of(tmp_path, TOML + CURVE)
    knn, *others = table.rows
    table = replace(table, rows=(replace(knn, line="a line"), *others))
    (curve,) = table.curves
    places = {(knn.name, "one site short: 2"): (70.0, 4.0), (knn.name, "mean"): (1.0, 0.0)}
    drawn = table.drawn(curve, places)
    assert drawn.lines == {"a line": {"2": (70.0, 4.0)}}
    assert (drawn.measure, drawn.clips) == ("AUC", ("2", "10", "all"))


def test_a_misspelt_table_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'outlier-flow/table2'"):
        load_table("outlierflow/table2")


def test_rows_are_chosen_by_name_run_or_system(tmp_path: Path) -> None:
    table = load_table("multitask-conformer/table1")
    assert [row.name for row in table.only("Score*").rows] == [
        "Score a_maha",
        "Score a_out",
        "Score a_arc",
    ]
    assert len(table.only("multitask-conformer").rows) == 4
    with pytest.raises(UnknownNameError, match="no row of multitask-conformer/table1 is called"):
        table.only("Scores*")
