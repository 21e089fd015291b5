from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thrum.errors import DataError, DatasetError
from thrum.evaluation.table import (
    Result,
    comparison,
    read_results,
    read_scores,
    results_of,
    summary,
    to_csv,
    write_results,
    write_scores,
)
from thrum.types import Clip, Label, Scores


def clip(machine: str, machine_id: str, name: str, label: Label | None) -> Clip:
    return Clip(Path(f"/{machine}/{name}.wav"), machine, machine_id, "test", "source", label)


SCORES = Scores(
    clips=[
        clip("pump", "id_00", "a", "normal"),
        clip("fan", "id_02", "b", "anomaly"),
        clip("fan", "id_02", "c", "normal"),
        clip("fan", "id_02", "d", "normal"),
        clip("fan", "id_02", "e", None),
        clip("fan", "id_02", "f", "anomaly"),
    ],
    columns={
        "local": np.array([0.0, 3.0, 1.0, 2.0, 99.0, 1.5]),
        "fused": np.array([0.0, 3.0, 1.0, 2.0, 99.0, 2.0]),
    },
    selected="fused",
)


def result(
    machine: str, machine_id: str, method: str, auc: float | None, *, seed: int = 0
) -> Result:
    return Result(machine, machine_id, method, auc, auc and auc / 2, 5, 5 if auc else 0, seed)


RESULTS = [
    result("pump", "id_00", "local", None),
    result("pump", "id_00", "fused", None),
    result("fan", "id_00", "local", 0.5),
    result("fan", "id_00", "fused", 0.7),
    result("fan", "id_02", "local", 0.7),
    result("fan", "id_02", "fused", 0.9),
    result("pump", "id_02", "local", 0.9),
    result("pump", "id_02", "fused", 0.8),
]
SECOND_SEED = [replace(r, auc=r.auc and r.auc + 0.1, seed=1) for r in RESULTS]


def test_results_count_and_rank_labelled_clips() -> None:
    # The fan's normal clips have 1 and 2. Of the anomalies, 3 beats both and 1.5 beats one; the fused
    # 2 beats one and ties with the other. Below a false-positive rate of 0.1, one anomaly is found.
    pauc = 0.5 * (1 + (0.1 * 0.5 - 0.005) / 0.095)
    found = results_of(SCORES, seed=3)
    assert [(r.machine, r.machine_id, r.method, r.auc) for r in found] == [
        ("fan", "id_02", "local", 3 / 4),
        ("fan", "id_02", "fused", 3.5 / 4),
        ("pump", "id_00", "local", None),
        ("pump", "id_00", "fused", None),
    ]
    assert found[0].pauc == pytest.approx(pauc, abs=1e-15)
    assert {(r.machine, r.n_normal, r.n_anomaly, r.seed) for r in found} == {
        ("fan", 2, 2, 3),
        ("pump", 1, 0, 3),
    }


def test_columns_are_chosen_and_named() -> None:
    found = results_of(SCORES, seed=0, method_names={"fused": "selected"})
    assert [(r.machine, r.method, r.auc) for r in found] == [
        ("fan", "selected", 3.5 / 4),
        ("pump", "selected", None),
    ]


def test_results_csv(tmp_path: Path) -> None:
    path = tmp_path / "run" / "results.csv"
    write_results(
        path, [result("pump", "id_00", "local", 1 / 3), result("fan", "id_01", "b", None)]
    )
    assert path.read_text() == (
        "machine,machine_id,method,auc,pauc,n_normal,n_anomaly,seed\n"
        "fan,id_01,b,,,5,0,0\n"
        "pump,id_00,local,0.3333333333333333,0.16666666666666666,5,5,0\n"
    )


def test_results_survive_the_file_and_the_file_the_results(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    write_results(first, [*SECOND_SEED, *RESULTS])
    found = read_results(first)
    assert set(found) == {*RESULTS, *SECOND_SEED}
    assert [r.method for r in found[:2]] == ["local", "fused"]  # as they came, not by alphabet
    write_results(second, found)
    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("machine,auc\nfan,0.5\n", "got machine,auc, wanted machine,machine_id,method"),
        ("HEADER\nfan,id_00,local,high,,1,1,0\n", "line 2: .*high"),
        ("HEADER\nfan,id_00,local,0.5,0.5,1\n", "line 2: .*not enough values"),
    ],
)
def test_damaged_results(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(
        text.replace("HEADER", "machine,machine_id,method,auc,pauc,n_normal,n_anomaly,seed")
    )
    with pytest.raises(DataError, match=message):
        read_results(path)


def test_summary_of_seeds() -> None:
    found = {(s.machine, s.method): s for s in summary([*RESULTS, *SECOND_SEED])}
    assert list(found) == [
        *(("fan", "local"), ("fan", "fused"), ("pump", "local"), ("pump", "fused")),
        *((None, "local"), (None, "fused")),
    ]
    fan = found["fan", "local"]
    assert (fan.auc, fan.pauc) == pytest.approx((0.65, 0.3), abs=1e-15)
    assert fan.auc_std == pytest.approx(0.1 / np.sqrt(2), abs=1e-15)
    assert (fan.n_machine_ids, fan.n_seeds) == (2, 2)
    overall = found[None, "fused"]
    assert overall.auc == pytest.approx(0.85, abs=1e-15)
    assert overall.n_machine_ids == 3  # pump id_00 has no anomalies
    assert summary(RESULTS)[0].auc_std is None


def test_comparison_puts_methods_side_by_side() -> None:
    header, rows = comparison([*RESULTS, *SECOND_SEED])
    assert header == ["machine", "machine_id", "local", "fused"]
    assert [row[:2] for row in rows] == [
        ["fan", "id_00"],
        ["fan", "id_02"],
        ["pump", "id_00"],
        ["pump", "id_02"],
        ["mean", ""],
    ]
    assert rows[2][2:] == [None, None]
    figures = [value for row in rows if row[2] is not None for value in row[2:]]
    assert figures == pytest.approx([0.55, 0.75, 0.75, 0.95, 0.95, 0.85, 0.75, 0.85], abs=1e-15)
    assert comparison(RESULTS, measure="pauc")[1][0][2:] == [0.25, 0.35]


def test_clip_scores_survive_the_file(tmp_path: Path) -> None:
    paths = write_scores(tmp_path / "scores", SCORES)
    assert [path.name for path in paths] == ["fan_id_02.csv", "pump_id_00.csv"]
    assert paths[1].read_text() == "clip,label,domain,local,fused\na.wav,normal,source,0.0,0.0\n"
    found = read_scores(paths[0])
    assert found.clips == ("b.wav", "c.wav", "d.wav", "e.wav", "f.wav")
    assert found.labels == ("anomaly", "normal", "normal", None, "anomaly")
    assert set(found.domains) == {"source"}
    for method, column in SCORES.columns.items():
        np.testing.assert_array_equal(found.columns[method], column[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,score\na,1\n", "got clip,score, wanted clip,label,domain,<methods>"),
        ("clip,label,domain,knn\na,odd,,1\n", "line 2: .*odd"),
        ("clip,label,domain,knn\na,normal,,1\nb,normal,,x\n", "line 3: .*'x'"),
        ("clip,label,domain,knn\na,normal\n", "line 2"),
        ("clip,label,domain,knn\na,normal,,1,2\n", "line 2"),
    ],
)
def test_damaged_clip_scores(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "fan_id_00.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_scores(path)


def test_missing_files(tmp_path: Path) -> None:
    for read in (read_results, read_scores):
        with pytest.raises(DataError, match=r"nowhere\.csv is missing"):
            read(tmp_path / "nowhere.csv")


def test_csv_keeps_every_digit_and_quotes() -> None:
    assert to_csv(["a", "b"], [[0.1 + 0.2, None], ["x,y", 1]]) == (
        'a,b\n0.30000000000000004,\n"x,y",1\n'
    )


def test_two_machines_are_not_written_into_one_file(tmp_path: Path) -> None:
    clips = [clip("press", "hall_2", "a", "normal"), clip("press_hall", "2", "a", "anomaly")]
    scores = Scores(clips, {"local": np.zeros(2)}, "local")
    with pytest.raises(DatasetError, match="press/hall_2 and press_hall/2 would both be called"):
        write_scores(tmp_path / "scores", scores)
    assert not (tmp_path / "scores").exists()
