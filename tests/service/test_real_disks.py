"""A disk that is full, and one that is unmounted: small file systems in memory, really mounted."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from thrum.errors import StorageError
from thrum.service.config import InputSettings, Settings
from thrum.service.running import Service
from thrum.service.store import people, views
from thrum.service.web import application
from watched import MACHINE, MakeService, Sounds, look, the_folder


def mount(at: Path, megabytes: int) -> None:
    """Mount a file system; skip where that is not allowed."""
    at.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount a file system: {done.stderr.strip()}")


def unmount(at: Path) -> None:
    subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("mount") is None:
        pytest.skip("no mount on this machine")
    mount(tmp_path / "disk", 8)
    yield tmp_path / "disk"
    if (tmp_path / "disk").is_mount():
        unmount(tmp_path / "disk")


def until(true: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def fill(disk: Path, leave: int) -> None:
    """Fill a disk but for so many bytes."""
    size = shutil.disk_usage(disk).free - leave
    with (disk / "filler").open("wb") as file, contextlib.suppress(OSError):
        file.write(b"\1" * max(0, size))


@pytest.mark.parametrize(
    ("least_free_mb", "leave"),
    [
        (1, 500_000),
        pytest.param(0, 0, marks=pytest.mark.slow),
        pytest.param(0, 150_000, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_said_refuses_and_loses_nothing(
    make_service: MakeService,
    settings: Settings,
    sounds: Sounds,
    disk: Path,
    least_free_mb: float,
    leave: int,
) -> None:
    own = replace(settings.service, folder=disk / "monitor", least_free_mb=least_free_mb)
    sources = (settings.inputs[0], InputSettings("http", MACHINE, "http", every="60s"))
    service: Service = make_service(service=own, inputs=sources)
    with service.database.writing() as connection:
        held = people.add_token(connection, "recorder", None, who="Ada", now=1.0)
        people.add(connection, "ada", "correct horse battery", "viewer", who="Ada", now=1.0)
    headers, address = {"Authorization": f"Bearer {held}"}, "/api/v1/clips?input=http"
    by_http, by_folder = sounds("w" * 12), sounds("w" * 3)
    threads = [
        threading.Thread(target=run, daemon=True)
        for run in (service.judging.run, service.keeping.run, service.inputs["folder"].run)
    ]

    def judged() -> int:
        with service.database.reading() as connection:
            return views.totals(connection).get("judged", 0)

    with TestClient(application.create(service, dashboard=False)) as client:
        for thread in threads:
            thread.start()
        post = client.post
        assert post(address, content=by_http[0].read_bytes(), headers=headers).status_code == 201
        until(lambda: judged() == 1, "the first clip is judged")
        fill(disk, leave)
        taken, codes = [by_http[0]], set()
        for path in by_http[1:]:
            answer = post(address, content=path.read_bytes(), headers=headers)
            codes.add(answer.status_code)
            if answer.status_code == 201:
                taken.append(path)
        assert codes <= {201, 503, 507}
        assert codes & {503, 507}
        if least_free_mb:
            assert codes == {507}
            assert "make space" in answer.json()["detail"]
        for path in by_folder:
            shutil.copy(path, the_folder(service).folder / path.name)
        if not leave or least_free_mb:
            until(lambda: service.inputs["folder"].lost != "", "the folder's input says so")
        if least_free_mb:
            until(lambda: "least_free_mb" in " ".join(service.troubles), "the pages say so")
            assert client.get("/health").status_code == 503
        assert len(list(the_folder(service).folder.iterdir())) == len(by_folder)  # they wait
        (disk / "filler").unlink()
        for path in by_http:
            if path not in taken:
                assert post(address, content=path.read_bytes(), headers=headers).status_code == 201
        until(lambda: judged() == len(by_http) + len(by_folder), "all is judged", 60)
        until(lambda: not service.troubles, "nothing is ill any more")
        assert client.get("/health").status_code == 200
    with service.database.reading() as connection:
        assert views.totals(connection) == {"judged": len(by_http) + len(by_folder)}
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        numbers = [row["number"] for row in views.judged(connection, MACHINE, 100)]
    assert numbers == list(range(1, len(numbers) + 1))
    service.stop()
    for thread in threads:
        thread.join(10)


def test_a_folder_whose_disk_is_unmounted_is_gone_and_comes_back(
    make_service: MakeService, settings: Settings, sounds: Sounds, disk: Path
) -> None:
    (disk / "in").mkdir()
    source = replace(settings.inputs[0], folder=disk / "in")
    service = make_service(inputs=(source,))
    shutil.copy(sounds("w")[0], disk / "in" / "a.wav")
    assert look(service) == 1
    unmount(disk)
    with pytest.raises(StorageError, match="is it mounted"):
        the_folder(service).look()
    (disk / "in").mkdir()  # as where an empty folder lies under what is mounted
    with pytest.raises(StorageError, match="mount it"):
        the_folder(service).look()
    with service.database.reading() as connection:
        assert views.totals(connection) == {"waiting": 1}
    mount(disk, 8)  # another number of a device than before
    (disk / "in").mkdir()
    shutil.copy(sounds("w")[0], disk / "in" / "b.wav")
    assert look(service) == 1
    assert the_folder(service).lost == ""
