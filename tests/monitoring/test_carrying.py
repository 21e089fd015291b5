"""What people confirmed goes on into the baseline of the next round, recordings or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import machines
import thrum
from monitoring_sound import SECONDS, faulty, well, written
from thrum.cli.main import app
from thrum.errors import StorageError
from thrum.monitoring import changing
from thrum.monitoring.changing import Signed

NAME = "machine0/id_00"
SIGNED = Signed("now", "Ada", "checked")


def round_of(data: Path, out: Path) -> dict[str, object]:
    """Run one round over the machines in `data`; return what it says."""
    words = ["collaborate", "simulate", "--data", str(data), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, [*words, "--embedder", "logmel", "--no-report"])
    assert done.exit_code == 0, done.output
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data and the outcome of a first round."""
    root = tmp_path_factory.mktemp("rounds")
    machines.write_sound(root / "data", machines=2, clips=12, seconds=SECONDS, anomalies=1)
    round_of(root / "data", root / "out")
    return root


@pytest.fixture
def root(first: Path, tmp_path: Path) -> Path:
    """The same, with another clip to learn from; the dataset must lie where it lay."""
    shutil.copytree(first / "out", tmp_path / "out")
    return tmp_path


def test_confirmed_clips_go_on_into_the_next_round(first: Path, root: Path) -> None:
    random = np.random.default_rng(3)
    new = [written(root / "new", f"{n}.wav", well(random)) for n in range(3)]
    fault = written(root / "new", "fault.wav", faulty(random))
    monitor = thrum.open_monitor(root / "out", NAME, device="cpu")
    changing.add(monitor, new, SIGNED)
    gone = monitor.baseline.clips[0]
    changing.drop(monitor, [gone.path], SIGNED)
    changing.confirm_faults(monitor, [fault], SIGNED)
    before = monitor.history.current
    known = {clip.sha256 for clip in monitor.baseline.clips}
    shutil.rmtree(root / "new")  # recordings need not be there any more
    told = round_of(first / "data", root / "out")
    assert any(
        "3 confirmed clips, 1 dropped ones and 1 confirmed faults go on" in str(note)
        for note in told["notes"]  # type: ignore[attr-defined]
    )
    again = thrum.open_monitor(root / "out", NAME, device="cpu")
    assert {clip.sha256 for clip in again.baseline.clips} == known
    assert gone.sha256 not in known
    assert len(again.baseline.faults) == 1
    assert [change.what for change in again.history.changes()][-2:] == ["made", "carried"]
    # The data is as it was, so all is as if there had been no second round.
    np.testing.assert_array_equal(again.baseline.left_out, monitor.baseline.left_out)
    np.testing.assert_array_equal(
        again.baseline.left_out, again.system.left_out_scores()[("machine0", "id_00")]
    )
    round_of(first / "data", root / "out")  # and into the one after
    third = thrum.open_monitor(root / "out", NAME, device="cpu")
    assert {clip.sha256 for clip in third.baseline.clips} == known
    assert third.history.current == before + 4
    assert third.history.undo(to=None, when="", who="", why="").version == before + 3
    assert len(thrum.open_monitor(root / "out", NAME, device="cpu").baseline.faults) == 0


def test_where_nobody_confirmed_anything_a_round_makes_one_version(first: Path, root: Path) -> None:
    round_of(first / "data", root / "out")
    monitor = thrum.open_monitor(root / "out", NAME, device="cpu")
    assert [change.what for change in monitor.history.changes()] == ["made", "made"]


def test_a_baseline_of_an_earlier_round_is_not_taken_for_this_one_s(
    first: Path, root: Path
) -> None:
    data = root / "data"
    shutil.copytree(first / "data", data)
    out = root / "other"
    round_of(data, out)
    monitor = thrum.open_monitor(out, NAME, device="cpu")
    learnt = Path(monitor.baseline.clips[0].path)
    written(learnt.parent, learnt.name, well(np.random.default_rng(4)))
    round_of(data, out)
    monitor = thrum.open_monitor(out, NAME, device="cpu")
    assert monitor.history.current == 2
    monitor.history.undo(to=1, when="", who="", why="")
    with pytest.raises(StorageError, match="earlier round.*undo --to 2"):
        thrum.open_monitor(out, NAME, device="cpu")


def test_what_cannot_go_on_is_said(first: Path, root: Path) -> None:
    monitor = thrum.open_monitor(root / "out", NAME, device="cpu")
    new = written(root / "new", "0.wav", well(np.random.default_rng(5)))
    changing.add(monitor, [new], SIGNED)
    path = monitor.history.folder / monitor.history.name(monitor.history.current)
    config = json.loads((path / "model.json").read_text())
    del config["seal"]  # as an earlier version wrote it, and of another embedder
    config["config"]["embedder"] = "modulation"
    (path / "model.json").write_text(json.dumps(config))
    told = round_of(first / "data", root / "out")
    assert any(
        "1 confirmed clips" in str(note) and "embedded by modulation" in str(note)
        for note in told["notes"]  # type: ignore[attr-defined]
    )
    (monitor.history.folder / "v0003.json").write_text("{")
    told = round_of(first / "data", root / "out")
    assert any("does not go on" in str(note) for note in told["notes"])  # type: ignore[attr-defined]
