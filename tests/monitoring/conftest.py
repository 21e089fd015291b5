"""A run of one machine that hums, and the monitors of it."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    clips = list(open_dataset(data).where(split="train"))
    system = create_system("knn", device="cpu").fit(clips)
    system.save(made)
    write_takings(made, takings_of(clips))
    prepare_monitors(made, system, clips, when="then", who="tests")
    return made


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A run that a test may change."""
    return shutil.copytree(made, tmp_path / "run")
