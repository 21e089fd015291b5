"""The store on a real PostgreSQL, of Debian's package, that is restarted in between."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from provisioning import free_port
from thrum.monitoring import open_monitor
from thrum.service.config import Settings
from thrum.service.intake import FullError
from thrum.service.store import views
from thrum.service.store.database import Database
from thrum.service.store.schema import metadata
from watched import MACHINE, MakeService, Sounds, bring, judge_all, view

pytest.importorskip("psycopg", reason="thrum[postgresql] is not installed")


class Cluster:
    """A server of its own, in a folder of its own."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self.data, self.programs, self.user = folder / "data", programs, user
        self.port = free_port()
        self.run("initdb", "-D", str(self.data), "-U", "thrum", "-A", "trust", "--no-sync")
        self.options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self.control("start")

    def run(self, program: str, *words: str) -> None:
        subprocess.run(
            [self.programs / program, *words],
            check=True,
            capture_output=True,
            user=self.user,
            cwd=self.data.parent,
            timeout=60,
        )

    def control(self, what: str, mode: str = "fast") -> None:
        log = str(self.data.parent / "log")
        words = ["-D", str(self.data), "-w", "-l", log, "-o", self.options, "-m", mode, what]
        self.run("pg_ctl", *words)

    def made(self, name: str) -> str:
        """Make a database; return its address."""
        address = f"postgresql+psycopg://thrum@127.0.0.1:{self.port}"
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "thrum", name)
        return f"{address}/{name}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = shutil.which("initdb") or (found and str(found[-1]))
    if not there:
        pytest.skip("wants PostgreSQL: apt install postgresql")
    user = None
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    if os.geteuid() == 0:  # a server refuses to be root
        user = "postgres" if "postgres" in {each.pw_name for each in pwd.getpwall()} else "nobody"
        shutil.chown(folder, user)
    made = Cluster(folder, Path(there).resolve().parent, user)
    yield made
    made.control("stop", "immediate")
    shutil.rmtree(folder)


def on(settings: Settings, address: str) -> Settings:
    return replace(settings, service=replace(settings.service, database=address))


def test_migrations_lead_to_the_schema_of_today(cluster: Cluster) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    address = cluster.made("migrated")
    with ThreadPoolExecutor(4) as workers:  # that start together
        databases = list(workers.map(Database, [address] * 4))
    with databases[0].reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    for each in databases:
        each.close()


def test_one_holds_a_machine_until_it_ends(cluster: Cluster) -> None:
    address = cluster.made("held")
    one, other = Database(address), Database(address)
    with one.holding("machine a") as held, other.holding("machine a") as too:
        assert (held, too) == (True, False)
        with other.holding("machine b") as another:
            assert another
    with pytest.raises(OperationalError), one.holding("machine a"):
        with other.writing() as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            connection.execute(text(ended))  # as if its worker were killed
        end = time.monotonic() + 5
        held = False
        while not held and time.monotonic() < end:
            with other.holding("machine a") as held:
                pass
        assert held
    one.close()
    other.close()


def test_from_a_folder_to_an_alarm(
    make_service: MakeService, settings: Settings, sounds: Sounds, run: Path, cluster: Cluster
) -> None:
    service = make_service(service=on(settings, cluster.made("walk")).service)
    paths = sounds("w" * 5 + "f" * 6)
    bring(service, paths)
    judge_all(service)
    monitor = open_monitor(run, MACHINE, alarms=service.settings.machines[0].alarms)
    with service.database.reading() as connection:
        found = views.judged(connection, MACHINE, 100)
        alarms = views.alarms_of(connection)
    assert [(row["p"], row["state"]) for row in found] == [
        (each.p, each.state) for each in monitor.judge(paths)
    ]
    assert view(service).alarm == alarms[0]["id"]
    service.retention.once()
    service.retention.sweep()
    service.stop()
    again = make_service(service=service.settings.service)
    assert view(again).state == "alarm"


def test_a_server_that_is_restarted_loses_nothing(
    make_service: MakeService, settings: Settings, sounds: Sounds, cluster: Cluster
) -> None:
    service = make_service(service=on(settings, cluster.made("restarted")).service)
    source = service.settings.inputs[1]
    judging = threading.Thread(target=service.judging.run)
    judging.start()
    tries = 0

    def take(path: Path) -> None:
        nonlocal tries
        while True:  # as who has no acknowledgement sends again
            try:
                service.intake.recording(source, path.read_bytes())
                return
            except (SQLAlchemyError, FullError, OSError):
                tries += 1
                time.sleep(0.1)

    paths = sounds("w" * 24)
    restarted: Any = None
    for number, path in enumerate(paths):
        if number == 6:  # as if it had crashed, while clips come and are judged
            restarted = threading.Thread(target=cluster.control, args=("restart", "immediate"))
            restarted.start()
        take(path)
    restarted.join()
    end = time.monotonic() + 30
    while view(service).judged < len(paths):
        assert time.monotonic() < end, service.judging.trouble
        time.sleep(0.1)
    service.judging.end()
    judging.join()
    with service.database.reading() as connection:
        numbers = [row["number"] for row in views.judged(connection, MACHINE, 100)]
        assert views.totals(connection) == {"judged": len(paths)}
    assert numbers == list(range(1, len(paths) + 1))
