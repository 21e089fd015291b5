"""A run of one machine that hums, and services that watch it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import machines
from monitoring_sound import SECONDS, faulty, well, written
from thrum.datasets import open_dataset
from thrum.datasets.taking import takings_of, write_takings
from thrum.monitoring.opening import prepare_monitors
from thrum.service.config import InputSettings, MachineSettings, ServiceSettings, Settings
from thrum.service.running import Service
from thrum.service.web import application
from thrum.service.web.guard import App
from thrum.systems import create_system
from watched import MACHINE, MakeDashboard, MakeService


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("service")
    data = machines.write_sound(root / "data", machines=1, clips=40, seconds=SECONDS, anomalies=0)
    clips = list(open_dataset(data).where(split="train"))
    system = create_system("knn", device="cpu").fit(clips)
    system.save(root / "run")
    write_takings(root / "run", takings_of(clips))
    prepare_monitors(root / "run", system, clips, when="then", who="tests")
    return root / "run"


@pytest.fixture
def run(learnt: Path, tmp_path: Path) -> Path:
    shutil.copytree(learnt, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def settings(run: Path, tmp_path: Path) -> Settings:
    """One machine with an input of each kind that needs no network."""
    (tmp_path / "in").mkdir()
    folder = InputSettings(
        "folder", MACHINE, "folder", folder=tmp_path / "in", settle_seconds=0, every="60s"
    )
    return Settings(
        service=ServiceSettings(folder=tmp_path / "monitor", least_free_mb=1),
        machines=(
            MachineSettings(MACHINE, run, title="Hum", false_alarms="1 in 100 clips", well_after=3),
        ),
        inputs=(folder, InputSettings("http", MACHINE, "http", every="60s")),
    )


@pytest.fixture
def make_service(settings: Settings) -> Iterator[MakeService]:
    """Services that are stopped when the test ends; they do nothing by themselves."""
    made: list[Service] = []

    def make(**changes: object) -> Service:
        service = Service(replace(settings, **changes))  # type: ignore[arg-type]
        made.append(service)
        return service

    yield make
    for service in made:
        if not service.ended.is_set():
            service.stop()


@pytest.fixture
def make_dashboard() -> Iterator[MakeDashboard]:
    """Applications with pages; NiceGUI has those of one service, so that one is let go before the next."""
    from nicegui import Client, app

    def make(service: Service) -> App:
        for path in set(Client.page_routes.values()):
            app.remove_route(path)
        Client.page_routes.clear()
        app.user_middleware.clear()
        app.middleware_stack = None
        return application.create(service)

    with warnings.catch_warnings():  # as thrum.service.serving says
        warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
        yield make


@pytest.fixture
def sounds(tmp_path: Path) -> Callable[[str], list[Path]]:
    """Recordings by a word: w is a clip that is well, f one of a fault."""
    random = np.random.default_rng(1)

    def write(word: str) -> list[Path]:
        (tmp_path / "sounds").mkdir(exist_ok=True)
        there = len(list((tmp_path / "sounds").iterdir()))
        make = {"w": well, "f": faulty}
        return [
            written(tmp_path / "sounds", f"{there + number:03d}.wav", make[each](random))
            for number, each in enumerate(word)
        ]

    return write
