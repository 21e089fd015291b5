"""A deployment over the real engine between its rounds: late sites, new ones, killed engines."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("nvflare")

from test_flare import SITES, Collaboration, left_running, thrum, wait_for

from thrum.federation.flare.history import rounds_of

LONGEST_SECONDS = 400


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_late_site_and_new_clips_begin_a_round_and_one_struck_off_is_put_out(
    tmp_path: Path,
) -> None:
    """Rounds are a day apart: what comes in the meantime comes because somebody came."""
    collaboration = Collaboration(tmp_path, clips=12, sharing="statistics")
    sites = tmp_path / "sites.toml"
    whole = sites.read_text(encoding="utf-8")
    sites.write_text('[sites]\nnorth = ["machine0/id_00"]\n', encoding="utf-8")
    server = [*collaboration.server(algorithm=1), "--serve", "--when-clips", 3, "--rounds", 4]
    server += ["--quorum", 1, "--wait", 30]

    def client(site: str) -> list[object]:
        words = collaboration.client(site, kit=collaboration.kits / site)
        return [*words, "--serve"]

    log = tmp_path / "server.log"
    with (
        thrum(log, *server) as hub,
        thrum(tmp_path / "north.log", *client("north")) as north,
    ):
        wait_for("the next round begins in 24 hours", log, seconds=LONGEST_SECONDS)
        sites.write_text(whole, encoding="utf-8")  # south is added while all runs
        with thrum(tmp_path / "south.log", *client("south")):
            wait_for("south came late", log, seconds=LONGEST_SECONDS)
            pool = collaboration.out("south") / "pools" / "all" / "statistics.json"
            deadline = time.monotonic() + LONGEST_SECONDS
            while not pool.exists():
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
            wait_for("results:", tmp_path / "south.log", seconds=60)
            recordings = tmp_path / "north" / "machine0" / "normal"
            for path in sorted(recordings.glob("00*.wav"))[:8]:  # some to learn from, some to judge
                shutil.copy(path, path.with_name(f"1{path.name}"))
            wait_for("new clips have come at north", log, seconds=LONGEST_SECONDS)
            deadline = time.monotonic() + LONGEST_SECONDS
            while len(rounds_of(tmp_path / "hub")) < 3:
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
        before = len(collaboration.ledger("north"))
        sites.write_text('[sites]\nsouth = ["machine1/id_00"]\n', encoding="utf-8")  # north goes
        wait_for("site 'north' is not in the list of sites, and was put out", log)
        time.sleep(10)
        assert hub.poll() is None
        assert len(collaboration.ledger("north")) == before
        north.terminate()
        north.wait()
        with thrum(tmp_path / "again.log", *client("north")):
            wait_for("could not register to server", tmp_path / "again.log", seconds=120)
    assert left_running(tmp_path) == []
    assert set(SITES) == {"north", "south"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_engines_are_started_again_by_nobody_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    """Each process of the engines of server and sites is killed, one after another, while rounds go on."""
    collaboration = Collaboration(tmp_path)
    server = [*collaboration.server(algorithm=1), "--serve", "--every", "1 s", "--rounds", 2]
    words = {
        site: [*collaboration.client(site, kit=collaboration.kits / site), "--serve", "--rounds", 2]
        for site in SITES
    }
    log = tmp_path / "server.log"
    with (
        thrum(log, *server) as hub,
        thrum(tmp_path / "north.log", *words["north"]) as north,
        thrum(tmp_path / "south.log", *words["south"]) as south,
    ):
        wait_for("the round begins", log, seconds=LONGEST_SECONDS)
        for victim in (hub, north):
            family = psutil.Process(victim.pid).children(recursive=True)
            assert family
            family[-1].kill()
            time.sleep(1)
        deadline = time.monotonic() + 2 * LONGEST_SECONDS
        codes = [one.wait(max(deadline - time.monotonic(), 1)) for one in (hub, north, south)]
    said = "\n".join(path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.log")))
    assert codes == [0, 0, 0], said
    for site in SITES:
        sent = [entry.detail for entry in collaboration.ledger(site) if entry.what == "embeddings"]
        assert len(sent) == len(set(sent)) > 0
    assert left_running(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_processes_of_a_round_that_only_starts_end_where_all_others_are_killed(
    tmp_path: Path,
) -> None:
    """They have imported nothing yet, and nobody is left to tell them."""
    collaboration = Collaboration(tmp_path)
    log = tmp_path / "server.log"
    words = {site: collaboration.client(site, kit=collaboration.kits / site) for site in SITES}
    with (
        thrum(log, *collaboration.server(algorithm=1)),
        thrum(tmp_path / "north.log", *words["north"]),
        thrum(tmp_path / "south.log", *words["south"]),
    ):
        deadline = time.monotonic() + LONGEST_SECONDS
        starting: list[psutil.Process] = []
        while not starting:
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
            starting = [one for one in running(tmp_path) if is_of_a_round(one)]
        for process in running(tmp_path):
            if not is_of_a_round(process):
                process.kill()
    try:
        _, left = psutil.wait_procs(starting, timeout=30)
        assert left == []
    finally:
        for process in running(tmp_path):
            process.kill()


def running(folder: Path) -> list[psutil.Process]:
    """Return the processes whose command lines speak of `folder`."""
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in command_of(one)]


def is_of_a_round(process: psutil.Process) -> bool:
    """Whether the engine started it for a round."""
    return any(word in command_of(process) for word in ("runner_process", "worker_process"))


def command_of(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or [])
