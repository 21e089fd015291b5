"""A copy brought back while the service runs: it is ended, its place is taken, what it had is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning import free_port
from thrum.errors import StorageError
from thrum.monitoring import open_monitor
from thrum.service import answers, backup, stopping
from thrum.service.config import Settings
from thrum.service.store import views
from thrum.service.store.database import Database
from watched import MACHINE, MakeService, Sounds, bring, judge_all, view


def test_a_copy_takes_the_place_of_what_is_there_which_is_kept(
    make_service: MakeService, settings: Settings, sounds: Sounds, run: Path, tmp_path: Path
) -> None:
    service = make_service()
    bring(service, sounds("wwffffff"))
    judge_all(service)
    then = view(service)
    backup.back_up(settings, tmp_path / "copy.tar.gz")
    with service.database.writing() as connection:
        answers.ask(connection, MACHINE, "normal", who="Ada", now=1.0, clip_numbers=[8])
    bring(service, sounds("ww"))
    judge_all(service)
    after = view(service)
    assert after.judged == 10
    assert open_monitor(run, MACHINE).history.current == 2
    service.stop()
    with pytest.raises(StorageError, match="--replace"):
        backup.restore(settings, tmp_path / "copy.tar.gz")
    (tmp_path / "torn").write_bytes((tmp_path / "copy.tar.gz").read_bytes()[:500])
    with pytest.raises(StorageError, match="no whole copy"):
        backup.restore(settings, tmp_path / "torn", replace=True)
    (note,) = backup.restore(settings, tmp_path / "copy.tar.gz", replace=True)
    again = make_service()
    assert view(again) == then
    assert again.watched[MACHINE].monitor.history.current == 1
    bring(again, sounds("w"))
    judge_all(again)
    assert view(again).judged == 11  # what lies in folders and came since is taken in once more
    kept = Database(Path(note.rpartition(" ")[2]) / "monitor.sqlite")
    with kept.reading() as connection:
        assert views.fleet(connection, [MACHINE])[0] == after
    kept.close()


def test_who_holds_a_folder_is_asked_and_nobody_else(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = make_service()
    lock = service.folder / ".lock"
    assert lock.read_text() == str(os.getpid())
    lock.write_text(str(os.getppid()))  # as where the service runs in a container
    with pytest.raises(StorageError, match="stop it"):
        stopping.stopped(service.folder, seconds=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_service_that_runs_is_restored_by_one_command(tmp_path: Path, run: Path) -> None:
    port = free_port()
    config = tmp_path / "monitor.toml"
    config.write_text(
        f"[service]\nport = {port}\nleast_free_mb = 1\n[[machines]]\nname = '{MACHINE}'\nrun = '{run}'\n"
        f"[[inputs]]\nname = 'http'\nmachine = '{MACHINE}'\nkind = 'http'\n"
    )
    words = [sys.executable, "-m", "thrum", "monitor"]
    service = subprocess.Popen([*words, "--config", str(config)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port))
        copy = str(tmp_path / "copy.tar.gz")
        subprocess.run([*words, "backup", "--config", str(config), "--out", copy], check=True)
        done = subprocess.run(
            [*words, "restore", "--config", str(config), copy, "--replace"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "what was there is kept in" in done.stderr
        assert service.wait(30) == 0  # systemd starts it again
        service = subprocess.Popen([*words, "--config", str(config)], stdout=subprocess.DEVNULL)
        until(lambda: _answers(port))
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 200
    while not true():
        assert time.monotonic() < end
        time.sleep(0.3)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False
