"""A whole deployment on loopback: provisioning, a server, two sites, mutual TLS, both algorithms."""

from __future__ import annotations

import csv
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

import machines
from provisioning import free_port, provision
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.federation.flare.engine import Engine
from thrum.federation.flare.kit import read_kit
from thrum.federation.flare.settings import SiteSettings
from thrum.federation.inprocess import simulate
from thrum.federation.ledger import Entry, Ledger
from thrum.federation.releasing import Releases
from thrum.systems.embedding_sharing import preset_config

pytest.importorskip("nvflare")
SETTINGS = ["epochs=1", "members=2", "batch_size=64"]
SITES = {"north": "machine0", "south": "machine1"}
ROUND_SECONDS = 240


@contextmanager
def thrum(log: Path, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``thrum collaborate``; it and all that it started are gone when the block is left."""
    command = [sys.executable, "-m", "thrum", "collaborate", *map(str, words)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):  # it has ended by itself, as it should
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait()


def left_running(folder: Path) -> list[str]:
    """Return the command lines that speak of `folder`."""
    lines = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            lines.append(" ".join(process.cmdline()))
    return [line for line in lines if str(folder) in line]


class Collaboration:
    """Kits, data and the folders of a server and two sites."""

    def __init__(self, folder: Path, *, clips: int = 6, sharing: str = "embeddings") -> None:
        self.folder = folder
        self.sharing = sharing
        port = free_port()
        self.kits = provision(folder / "real", port=port)
        self.forged = provision(folder / "forged", port=port)
        self.data = machines.write_sound(folder / "data", machines=2, clips=clips)
        for site, machine in SITES.items():
            shutil.copytree(self.data / machine, folder / site / machine)
        lines = [f'{site} = ["{machine}/id_00"]' for site, machine in SITES.items()]
        (folder / "sites.toml").write_text("[sites]\n" + "\n".join(lines), encoding="utf-8")

    def server(self, *, algorithm: int) -> list[object]:
        words: list[object] = ["server", "--kit", self.kits, "--sites", self.folder / "sites.toml"]
        words += ["--out", self.folder / "hub", "--algorithm", algorithm, "--device", "cpu"]
        words += ["--sharing", self.sharing, "--whitening-from", 1]
        settings = SETTINGS if self.sharing == "embeddings" else []
        return [*words, *(word for setting in settings for word in ("--set", setting))]

    def client(self, site: str, *, kit: Path, algorithm: int = 1) -> list[object]:
        words: list[object] = ["client", "--kit", kit, "--data", self.folder / site]
        words += ["--sharing", self.sharing]
        return [*words, "--algorithm", algorithm, "--out", self.out(site)]

    def out(self, site: str) -> Path:
        return self.folder / f"{site}-out"

    def ledger(self, site: str) -> list[Entry]:
        entries = Ledger(self.out(site) / "ledger.jsonl").entries()
        assert "signature" in {entry.what for entry in entries}  # at the end of each round
        return [entry for entry in entries if entry.what != "signature"]

    def run_round(self, *, algorithm: int) -> None:
        """Run server and sites until all have ended well."""
        log = self.folder / "server.log"
        sites = {site: self.folder / f"{site}.log" for site in SITES}

        def client(site: str) -> list[object]:
            return self.client(site, kit=self.kits / site, algorithm=algorithm)

        with (
            thrum(log, *self.server(algorithm=algorithm)) as server,
            thrum(sites["north"], *client("north")) as north,
            thrum(sites["south"], *client("south")) as south,
        ):
            deadline = time.monotonic() + ROUND_SECONDS
            processes = (server, north, south)
            codes = [process.wait(max(deadline - time.monotonic(), 0)) for process in processes]
        said = "\n".join(path.read_text(encoding="utf-8") for path in (log, *sites.values()))
        assert codes == [0, 0, 0], said


def scores_of(path: Path) -> dict[str, dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["clip"]: {name: float(row[name]) for name in ("local", "network", "fused")}
            for row in csv.DictReader(file)
        }


@pytest.fixture(scope="module")
def collaboration(tmp_path_factory: pytest.TempPathFactory) -> Collaboration:
    return Collaboration(tmp_path_factory.mktemp("deployed"))


@pytest.fixture(scope="module")
def simulated(collaboration: Collaboration) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of the same round in one process, for each site."""
    out = collaboration.folder / "simulated"
    simulate(
        open_dataset(collaboration.data),
        embedder=create_embedder("modulation"),
        config=preset_config("compact", assignments=SETTINGS),
        folder=out,
        device="cpu",
        sharing="embeddings",
        releases=Releases(embeddings="clip_mean"),
        whitening_from=1,
    )
    return {
        site: scores_of(out / "scores" / f"{machine}_id_00.csv") for site, machine in SITES.items()
    }


def what_left(entries: list[Entry]) -> set[tuple[str, str]]:
    """Return kinds and, for embeddings and manifests, the split that they were of."""
    return {
        (entry.what, next((s for s in ("train", "test") if s in entry.detail.split(", ")), ""))
        for entry in entries
    }


Simulated = dict[str, dict[str, dict[str, float]]]


@pytest.mark.timeout(600)
def test_both_algorithms_over_the_network_score_as_in_one_process(
    collaboration: Collaboration, simulated: Simulated
) -> None:
    """Two rounds in one store: what the first has brought the second does not send again."""
    stranger = collaboration.client("north", kit=collaboration.forged / "north")
    stranger[-1] = collaboration.folder / "stranger-out"
    with thrum(collaboration.folder / "stranger.log", *stranger) as process:
        collaboration.run_round(algorithm=1)
        assert process.wait(60) == 1
    assert left_running(collaboration.folder) == []
    said = (collaboration.folder / "stranger.log").read_text(encoding="utf-8")
    assert "not the one of this kit" in said
    assert not (collaboration.folder / "stranger-out" / "ledger.jsonl").exists()

    after_first = {}
    for site, machine in SITES.items():
        scores = scores_of(collaboration.out(site) / "scores" / f"{machine}_id_00.csv")
        assert scores == simulated[site]
        assert {path.name for path in collaboration.out(site).glob("classifiers/*")} == {"all"}
        after_first[site] = collaboration.ledger(site)
        assert what_left(after_first[site]) == {
            ("description", ""),
            ("manifest", "train"),
            ("embeddings", "train"),
            ("acknowledgement", ""),
        }

    stale = [collaboration.out(site) / "scores" / "sold_id_00.csv" for site in SITES]
    stale.append(collaboration.folder / "hub" / "classifiers" / "sold")
    for path in stale:
        path.write_text("of a machine of an earlier round")
    collaboration.run_round(algorithm=2)
    assert not any(path.exists() for path in stale)
    assert left_running(collaboration.folder) == []
    for site, machine in SITES.items():
        scores = scores_of(collaboration.out(site) / "scores" / f"{machine}_id_00.csv")
        assert scores == simulated[site]
        assert not list(collaboration.out(site).glob("classifiers/*"))
        later = collaboration.ledger(site)[len(after_first[site]) :]
        assert what_left(later) == {
            ("description", ""),
            ("manifest", "train"),
            ("manifest", "test"),
            ("embeddings", "test"),
            ("acknowledgement", ""),
        }
    asks_between_rounds(collaboration, simulated["north"])


def asks_between_rounds(
    collaboration: Collaboration, simulated: dict[str, dict[str, float]]
) -> None:
    """The kits that the round was run with also serve: new questions have the round's answers."""
    log, out = collaboration.folder / "scores.log", collaboration.folder / "asked.csv"
    port, site = free_port(), collaboration.out("north")
    serve = ["serve-scores", "--kit", collaboration.kits, "--out", collaboration.folder / "hub"]
    words: list[object] = ["score", site, collaboration.folder / "north" / "machine0" / "anomaly"]
    words += ["--kit", collaboration.kits / "north", "--out", out, "--port", port]
    before = len(collaboration.ledger("north"))
    with thrum(log, *serve, "--port", port, "--device", "cpu"):
        wait_for("scores are served at localhost", log)
        with thrum(collaboration.folder / "asked.log", *words, "--device", "cpu") as asked:
            code = asked.wait(60)
    said = (collaboration.folder / "asked.log").read_text(encoding="utf-8")
    assert code in (0, 3), said
    with out.open(encoding="utf-8", newline="") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    wanted = {Path(clip).name: own for clip, own in simulated.items() if "anomaly" in clip}
    assert rows.keys() == wanted.keys()
    for name, row in rows.items():
        for method in ("network", "fused"):
            assert float(row[method]) == wanted[name][method]
    assert [entry.what for entry in collaboration.ledger("north")[before:]] == ["embeddings"]


def wait_for(word: str, log: Path, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not (log.exists() and word in log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, f"{word!r} never came in {log}"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    collaboration = Collaboration(tmp_path)
    sites = {site: collaboration.client(site, kit=collaboration.kits / site) for site in SITES}
    log = tmp_path / "server.log"
    words = collaboration.server(algorithm=1)
    with (
        thrum(tmp_path / "north.log", *sites["north"]) as north,
        thrum(tmp_path / "south.log", *sites["south"]) as south,
    ):
        with thrum(log, *words, "--set", "epochs=100000") as server:
            wait_for("training the ID classifier", log, seconds=ROUND_SECONDS)
            server.kill()
        deadline = time.monotonic() + 10
        while left_running(collaboration.kits / "localhost"):
            assert time.monotonic() < deadline, "the engine outlives the command that started it"
            time.sleep(0.2)
        with thrum(log, *words) as server:
            codes = [process.wait(ROUND_SECONDS) for process in (server, north, south)]
    assert codes == [0, 0, 0], log.read_text(encoding="utf-8")
    for site in SITES:
        sent = [entry.detail for entry in collaboration.ledger(site) if entry.what == "embeddings"]
        assert len(sent) == len(set(sent)) > 0


@pytest.mark.slow
def test_a_site_cannot_take_part_under_the_name_of_another(tmp_path: Path) -> None:
    """The kit of south that says it is north: the server goes by the certificate."""
    collaboration = Collaboration(tmp_path)
    log = tmp_path / "server.log"
    with thrum(log, *collaboration.server(algorithm=1)) as server:
        wait_for("0 of 2 sites are here", log)
        impostor = replace(read_kit(collaboration.kits / "south", role="site"), name="north")
        settings = SiteSettings("north", collaboration.data, tmp_path / "impostor")
        with Engine(impostor, settings):
            refusal = "authenticated as 'south' but claimed endpoint 'north'"
            wait_for(refusal, tmp_path / "hub" / "engine" / "log.txt")
            time.sleep(2)
        assert server.poll() is None
    assert "1 of 2" not in log.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_round_runs_where_paths_have_spaces(tmp_path: Path) -> None:
    """Kits, data and stores; the engine splits command lines that it makes of the kit's path."""
    collaboration = Collaboration(tmp_path / "hall 'two', this year")
    collaboration.run_round(algorithm=1)
    for site, machine in SITES.items():
        assert scores_of(collaboration.out(site) / "scores" / f"{machine}_id_00.csv")
        mode = collaboration.out(site).stat().st_mode
        assert stat.S_IMODE(mode) == 0o700


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_site_that_is_killed_is_left_out_where_a_quorum_is_left(tmp_path: Path) -> None:
    """Killed while the server trains: its embeddings have come; the other gets its classifier."""
    collaboration = Collaboration(tmp_path)
    log = tmp_path / "server.log"
    words = [*collaboration.server(algorithm=1), "--quorum", "1", "--set", "epochs=40"]
    sites = {site: collaboration.client(site, kit=collaboration.kits / site) for site in SITES}
    with (
        thrum(log, *words) as server,
        thrum(tmp_path / "south.log", *sites["south"]) as south,
    ):
        with thrum(tmp_path / "north.log", *sites["north"]):
            steps = tmp_path / "hub" / "log.jsonl"
            wait_for("training the ID classifier", steps, seconds=ROUND_SECONDS)
        codes = [process.wait(2 * ROUND_SECONDS) for process in (server, south)]
    assert codes == [0, 0], log.read_text(encoding="utf-8")
    assert "site 'north' was left out" in log.read_text(encoding="utf-8")
    scores = collaboration.out("south") / "scores" / f"{SITES['south']}_id_00.csv"
    assert scores_of(scores)


@pytest.mark.timeout(600)
def test_statistics_over_the_network_score_as_in_one_process(tmp_path: Path) -> None:
    deployed = Collaboration(tmp_path, clips=12, sharing="statistics")
    deployed.run_round(algorithm=1)
    simulation = simulate(
        open_dataset(deployed.data),
        embedder=create_embedder("modulation"),
        config=preset_config("compact"),
        folder=tmp_path / "simulated",
        device="cpu",
    )
    own = {scores.key[0]: scores for scores in simulation.scores}
    for site, machine in SITES.items():
        path = deployed.out(site) / "scores" / f"{machine}_id_00.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for method in ("local_whitened", "pool", "statistics"):
            assert [float(row[method]) for row in rows] == own[machine].test.columns[
                method
            ].tolist()
        assert {entry.what for entry in deployed.ledger(site)} == {
            "description",
            "statistics",
            "acknowledgement",
        }
        assert (deployed.out(site) / "model.json").exists()
    assert not list((tmp_path / "hub").glob("pieces/*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_secret_sum_over_the_network_is_the_one_in_one_process(tmp_path: Path) -> None:
    """Three sites, masks and shares over the wire; the server keeps nobody's statistics."""
    names = {"north": "machine0", "south": "machine1", "west": "machine2"}
    chain = "least:5 | secure"
    kits = provision(tmp_path / "real", port=free_port(), further=("west",))
    data = machines.write_sound(tmp_path / "data", machines=3, clips=12)
    for site, machine in names.items():
        shutil.copytree(data / machine, tmp_path / site / machine)
    lines = [f'{site} = ["{machine}/id_00"]' for site, machine in names.items()]
    (tmp_path / "sites.toml").write_text("[sites]\n" + "\n".join(lines), encoding="utf-8")
    words: list[object] = ["server", "--kit", kits, "--sites", tmp_path / "sites.toml"]
    words += ["--out", tmp_path / "hub", "--device", "cpu", "--release", chain]

    def client(site: str) -> list[object]:
        own: list[object] = ["client", "--kit", kits / site, "--data", tmp_path / site]
        return [*own, "--out", tmp_path / f"{site}-out", "--release", chain]

    with ExitStack() as stack:
        processes = [stack.enter_context(thrum(tmp_path / "server.log", *words))]
        processes += [
            stack.enter_context(thrum(tmp_path / f"{site}.log", *client(site))) for site in names
        ]
        deadline = time.monotonic() + ROUND_SECONDS
        codes = [process.wait(max(deadline - time.monotonic(), 0)) for process in processes]
    said = "\n".join(path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.log")))
    assert codes == [0, 0, 0, 0], said
    simulation = simulate(
        open_dataset(data),
        embedder=create_embedder("modulation"),
        config=preset_config("compact"),
        folder=tmp_path / "simulated",
        device="cpu",
        releases=Releases(statistics=chain),
    )
    own = {scores.key[0]: scores for scores in simulation.scores}
    for site, machine in names.items():
        path = tmp_path / f"{site}-out" / "scores" / f"{machine}_id_00.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for method in ("pool", "statistics"):
            wanted = own[machine].test.columns[method]
            np.testing.assert_allclose([float(row[method]) for row in rows], wanted, rtol=1e-6)
        kinds = {
            entry.what for entry in Ledger(tmp_path / f"{site}-out" / "ledger.jsonl").entries()
        }
        assert "masked statistics" in kinds
        assert "statistics" not in kinds
    assert not (tmp_path / "hub" / "statistics").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rounds_go_on_by_themselves_with_what_has_been_recorded_since(tmp_path: Path) -> None:
    """The second round comes with nobody at the keyboard, and knows what was recorded after the first."""
    collaboration = Collaboration(tmp_path, clips=7, sharing="statistics")
    server = [*collaboration.server(algorithm=1), "--serve", "--every", "20 s", "--rounds", 2]
    clients = {
        site: [*collaboration.client(site, kit=collaboration.kits / site), "--serve", "--rounds", 2]
        for site in SITES
    }

    def counts() -> list[int]:
        return [own.clips for own in collaboration.ledger("north") if own.what == "statistics"]

    with (
        thrum(tmp_path / "server.log", *server) as hub,
        thrum(tmp_path / "north.log", *clients["north"]) as north,
        thrum(tmp_path / "south.log", *clients["south"]) as south,
    ):
        deadline = time.monotonic() + 3 * ROUND_SECONDS
        rounds = tmp_path / "hub" / "rounds.jsonl"
        while not rounds.exists():
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        recorded = sorted((tmp_path / "north" / "machine0" / "normal").glob("*.wav"))
        for path in recorded[:4]:
            shutil.copyfile(path, path.with_name(f"9{path.name}"))
        codes = [one.wait(max(deadline - time.monotonic(), 0)) for one in (hub, north, south)]
    said = "\n".join((tmp_path / f"{name}.log").read_text() for name in ("server", *SITES))
    assert codes == [0, 0, 0], said
    assert len(rounds.read_text(encoding="utf-8").splitlines()) == 2
    assert counts()[1] > counts()[0]
    assert left_running(tmp_path) == []
