"""Cells are trained once, side by side, and again after a kill; what fails leaves the others alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import tables_of_tests
from thrum.bench import cells, figures, running
from thrum.bench.cells import Cell, abridged
from thrum.bench.running import Outcome, State
from thrum.bench.tables import Table, load_table
from thrum.errors import UsageError
from thrum.evaluation.table import read_results
from thrum.systems.multitask_conformer import Config as Conformer
from thrum.systems.outlier_flow import Config as OutlierFlow


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stages: set[str] = set()
        self.states: list[tuple[int, int]] = []
        self.errors: list[str] = []

    def started(self, cell: Cell) -> None:
        self.begun.append(cell.title)

    def told(self, cell: Cell, stage: str, done: int, total: int) -> None:
        self.stages.add(stage)

    def ended(self, cell: Cell, error: str | None, state: State) -> None:
        self.states.append((state.done, state.total))
        self.errors += [error] if error else []

    def tick(self, state: State) -> None:
        assert state.seconds_left is None or state.seconds_left >= 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    tables_of_tests.write(folder)
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return load_table(str(folder / "small.toml"))


def run(table: Table, folder: Path, out: Path, **settings: object) -> tuple[Outcome, Told]:
    told = Told()
    planned = running.plan(table, out=out, data=folder / "data", device="cpu", **settings)  # type: ignore[arg-type]
    return running.run(planned, jobs=2, watcher=told), told


@pytest.fixture(scope="module")
def complete(table: Table, folder: Path) -> tuple[Outcome, Told]:
    return run(table, folder, folder / "out")


def test_every_run_is_trained_with_every_seed(complete: tuple[Outcome, Told]) -> None:
    outcome, told = complete
    assert not outcome.errors
    assert sorted(cell.title for cell in outcome.folders) == sorted(told.begun)
    assert sorted(told.begun) == [
        "autoencoder on presses, seed 0",
        "knn on presses, seed 0",
        "knn on presses, seed 1",
    ]
    assert told.states == [(done, 3) for done in (1, 2, 3)]
    assert {"k-NN", "embed"} <= told.stages


def test_a_cell_says_what_it_is(complete: tuple[Outcome, Told]) -> None:
    outcome, _ = complete
    cell, folder = next(
        (cell, folder) for cell, folder in outcome.folders.items() if cell.run_name == "autoencoder"
    )
    described = cells.read(folder)
    assert described["machines"] == [["Press", f"id_{number:02d}"] for number in range(3)]
    assert described["selected"] == "mse"
    assert (described["train_clips"], described["test_clips"]) == (60, 40)
    assert described["seconds"] > 0
    assert described["steps"] % 3 == 0  # three epochs
    assert described["steps"] > 0
    assert set(described["versions"]) == {"thrum", "torch", "numpy", "scikit-learn", "python"}
    assert "epochs = 3" in (folder / "config.toml").read_text(encoding="utf-8")
    results = read_results(folder / "results.csv")
    assert {row.seed for row in results} == {cell.seed}
    assert not (folder / "work").exists()


def test_what_is_there_is_kept(complete: tuple[Outcome, Told], table: Table, folder: Path) -> None:
    again, told = run(table, folder, folder / "out")
    assert told.begun == []
    assert {cell.title: path for cell, path in again.folders.items()} == {
        cell.title: path for cell, path in complete[0].folders.items()
    }


def test_other_settings_and_other_data_are_other_cells(
    complete: tuple[Outcome, Told], table: Table, folder: Path, tmp_path: Path
) -> None:
    def names(data: Path, epochs: int | None) -> set[str]:
        planned = running.plan(table, out=tmp_path, data=data, seeds=[0], epochs=epochs)
        return {cell.folder(cell.open()).name for cell in planned}

    before = names(folder / "data", None)
    assert before == {path.name for path in complete[0].folders.values() if "seed0" in path.name}
    assert len(before & names(folder / "data", 2)) == 1  # k-NN knows no epochs
    assert before == names(folder / "data", 3)  # no more than there are
    shutil.copytree(folder / "data", tmp_path / "data")
    assert before == names(tmp_path / "data", None)
    (tmp_path / "data" / "presses" / "Press_id_02.npz").unlink()
    assert not before & names(tmp_path / "data", None)


def test_epochs_limits_every_kind_of_epoch() -> None:
    conformer = abridged(Conformer(inlier_epochs=0), 7)
    assert (conformer.inlier_epochs, conformer.epochs) == (0, 7)
    flow = abridged(OutlierFlow(), 7)
    assert (flow.oe_epochs, flow.epochs) == (7, 7)
    with pytest.raises(UsageError, match="--epochs is 0"):
        running.plan(load_table("testbed"), out=Path(), epochs=0)


def test_what_fails_is_said_and_the_rest_goes_on(folder: Path, tmp_path: Path) -> None:
    misspelt = (
        'system = "knn"\nsettings = { metric = "cosin" }\n[runs.dying]\nsystem = "dying:Dying"'
    )
    text = tables_of_tests.TOML.replace(
        'system = "autoencoder"\nsettings = { epochs = 3, batch_size = 64, width = 16 }', misspelt
    ).replace('note = "known from print alone"', 'runs = ["dying"]')
    table = load_table(str(tables_of_tests.write(tmp_path, text)))
    outcome, told = run(table, tmp_path, tmp_path / "out", seeds=[0])
    assert [cell.run_name for cell in outcome.folders] == ["knn"]
    errors = {cell.run_name: error for cell, error in outcome.errors.items()}
    assert "autoencoder on presses, seed 0: " in errors["autoencoder"]
    assert "did you mean 'cosine'" in errors["autoencoder"]
    assert "killed by signal 9; out of memory? Fewer --jobs need less" in errors["dying"]
    assert told.errors == [errors["dying"].removeprefix("dying on presses, seed 0: ")]
    filled = figures.fill(table, outcome)
    assert set(filled.errors) == set(errors.values())
    assert next(one.ours for one in filled.figures if one.row == "neighbours") is not None


def test_without_data_it_is_said_which_and_how_large(table: Table, tmp_path: Path) -> None:
    planned = running.plan(table, out=tmp_path, data=tmp_path / "nowhere")
    outcome = running.run(planned, jobs=1, watcher=Told())
    assert set(outcome.errors.values()) == {
        f"Presses: there is no {tmp_path / 'nowhere' / 'presses'}; wanted: about 0 GB of recordings"
    }
    (message,) = {
        cell.source.missing(Path("d"))
        for cell in running.plan(load_table("multitask-conformer/table1"), out=tmp_path)
        if cell.source_name == "snr-6"
    }
    assert message == (
        "MIMII, -6 dB: there is no d; wanted: about 46 GB of recordings; "
        "get them with: thrum data fetch mimii --out d"
    )


@pytest.mark.slow
def test_a_killed_command_goes_on_and_comes_to_the_same(
    complete: tuple[Outcome, Told], folder: Path, tmp_path: Path
) -> None:
    assert not complete[0].errors
    words = [sys.executable, "-m", "thrum", "bench", str(folder / "small.toml")]
    words += ["--data", str(folder / "data"), "--out", str(tmp_path), "--seeds", "1"]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: any(tmp_path.glob("cells/autoencoder-*/work/embeddings/*")))
    children = _children(killed.pid)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert children
    _wait_for(lambda: not any(_is_alive(child) for child in children))
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/cell.json")}
    assert len(done) < 2
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    assert len(list(tmp_path.glob("cells/*/cell.json"))) == 2
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    for path in (tmp_path / "cells").iterdir():
        for scores in (path / "scores").iterdir():
            again = folder / "out" / "cells" / path.name / "scores" / scores.name
            assert again.read_bytes() == scores.read_bytes()


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state != "Z"


def _wait_for(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def cell_of(table: Table, folder: Path, **changes: object) -> Cell:
    source = table.sources["presses"]
    run = replace(table.runs["knn"], **changes)  # type: ignore[arg-type]
    return Cell("knn", run, "presses", source, 0, folder / "data", folder / "other")


def test_a_run_may_be_given_the_training_clips_of_some_machines(table: Table, folder: Path) -> None:
    every = cell_of(table, folder)
    some = cell_of(table, folder, trained=("Press/id_01",))
    train, test = (some.open().where(split=split) for split in ("train", "test"))
    assert {clip.machine_key for clip in train} == {("Press", "id_01")}
    assert len(test) == len(every.open().where(split="test"))
    assert some.folder(some.open()) != every.folder(every.open())


def test_other_weights_are_another_cell(
    table: Table, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "_embedder_weights", lambda name: f"{name} A")
    features = cell_of(table, folder)
    assert features.folder(features.open()).parent.name == "cells"
    recordings = replace(features.open(), holds="recordings")
    before = features.folder(recordings)
    monkeypatch.setattr(cells, "_embedder_weights", lambda name: f"{name} B")
    assert features.folder(recordings) != before
    assert features.folder(features.open()) == cell_of(table, folder).folder(features.open())
