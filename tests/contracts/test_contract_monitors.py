"""What a monitor of every registered system promises: it judges as the run scored, in any process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import machines
import thrum
from contracts.test_contract_systems import system
from thrum.datasets import open_dataset
from thrum.monitoring import changing
from thrum.monitoring.changing import Signed
from thrum.monitoring.conformal import p_values
from thrum.monitoring.holding import held_out
from thrum.monitoring.opening import prepare_monitors
from thrum.systems import SYSTEMS
from thrum.types import Dataset

pytestmark = pytest.mark.slow  # every system learns, shortened
NAME = "machine0/id_00"
REFIT = {"embedding-sharing", "knn", "multitask-conformer", "self-supervised"}
"""Those that compare with confirmed clips from then on; of the others only the ranking changes."""
CODE = """
import json, sys, thrum
monitor = thrum.open_monitor(sys.argv[1], sys.argv[2], device="cpu")
print(json.dumps([[one.score, one.p, one.state] for one in monitor.judge(sys.argv[3])]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitors")


@pytest.fixture(scope="module")
def new(folder: Path) -> Path:
    """Recordings that no system has learnt: 16 normal ones and three detuned."""
    return machines.write_sound(folder / "new", machines=1, clips=16, seed=1) / "machine0"


@pytest.fixture(scope="module")
def train(folder: Path) -> Dataset:
    return open_dataset(machines.write_sound(folder / "data", clips=21, anomalies=0))


def run_of(name: str, folder: Path, train: Dataset) -> Path:
    """Return the folder of a run of a system, which learns when it is first asked for."""
    if not (folder / name).exists():
        own = system(name)
        learnt, back = list(train), []
        if own.wants_held_out:
            learnt, back = held_out(learnt, 1 / 3)
        own.fit(learnt)
        if back:
            own.calibrate(back)
        own.save(folder / name)
        prepare_monitors(folder / name, own, back or learnt, when="then", who="tests")
    return folder / name


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_it_judges_as_the_run_scores_here_and_elsewhere(
    name: str, folder: Path, new: Path, train: Dataset
) -> None:
    run = run_of(name, folder, train)
    monitor = thrum.open_monitor(run, NAME, device="cpu")
    judged = monitor.judge(new)
    own = thrum.load_system(run, device="cpu")
    scores = own.score([judgement.clip for judgement in judged])
    wanted = scores.columns[scores.selected]
    assert [judgement.score for judgement in judged] == wanted.tolist()
    left_out = monitor.baseline.left_out
    assert len(left_out) == (7 if own.wants_held_out else 21)
    np.testing.assert_array_equal([judgement.p for judgement in judged], p_values(left_out, wanted))
    words = [sys.executable, "-c", CODE, str(run), NAME, str(new)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert [[one.score, one.p, one.state] for one in judged] == json.loads(done.stdout)
    normal = [judgement.state for judgement in judged if "normal" in judgement.file]
    assert normal.count("well") >= len(normal) / 2


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_its_baseline_takes_clips_in_and_gives_them_back(
    name: str, folder: Path, new: Path, train: Dataset
) -> None:
    run = run_of(name, folder, train)
    monitor = thrum.open_monitor(run, NAME, device="cpu")
    before, rest = len(monitor.baseline.left_out), sorted(new.glob("normal/*.wav"))[4:10]
    wanted = [one.score for one in monitor.judge(rest)]
    done = changing.add(monitor, sorted(new.glob("normal/*.wav"))[:4], Signed("now", "tests"))
    assert monitor.system.refits == (name in REFIT)
    assert ([one.score for one in monitor.judge(rest)] != wanted) == (name in REFIT)
    assert any(f"of {name} only the ranking changes" in text for text in done.advice) == (
        name not in REFIT
    )
    again = thrum.open_monitor(run, NAME, device="cpu")
    assert len(again.baseline.left_out) == before + 4
    assert [one.score for one in again.judge(rest)] == [one.score for one in monitor.judge(rest)]
    monitor.history.undo(to=None, when="now", who="tests", why="")
    back = thrum.open_monitor(run, NAME, device="cpu")
    assert [one.score for one in back.judge(rest)] == wanted
