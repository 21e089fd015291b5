"""A run of one machine that hums, and the monitors of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import machines
from monitoring_sound import SECONDS
from thrum.datasets import open_dataset
from thrum.datasets.taking import takings_of, write_takings
from thrum.monitoring.opening import prepare_monitors
from thrum.systems import create_system


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hum")
    return machines.write_sound(root, machines=2, clips=40, seconds=SECONDS, anomalies=0)


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    clips = list(open_dataset(data).where(split="train"))
    system = create_system("knn", device="cpu").fit(clips)
    system.save(tmp_path / "run")
    write_takings(tmp_path / "run", takings_of(clips))
    prepare_monitors(tmp_path / "run", system, clips, when="then", who="tests")
    return tmp_path / "run"
