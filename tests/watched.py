"""What the tests of the service share: how clips are brought to it and judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from thrum.service.inputs.folder import Folder
from thrum.service.running import Service
from thrum.service.store import views
from thrum.service.web.guard import App

MACHINE = "machine0/id_00"
MakeService = Callable[..., Service]
MakeDashboard = Callable[[Service], App]
Sounds = Callable[[str], list[Path]]


def the_folder(service: Service) -> Folder:
    source = service.inputs["folder"]
    assert isinstance(source, Folder)
    return source


def look(service: Service) -> int:
    """Look twice: a file is complete where it has not changed since the first time."""
    return the_folder(service).look() + the_folder(service).look()


def bring(service: Service, paths: list[Path]) -> None:
    for path in paths:
        shutil.copy(path, the_folder(service).folder / path.name)
        look(service)


def judge_all(service: Service) -> None:
    while service.judging.once():
        pass


def view(service: Service) -> views.MachineView:
    with service.database.reading() as connection:
        return views.fleet(connection, [MACHINE])[0]
