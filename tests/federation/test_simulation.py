from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import machines
from thrum import audio
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import AudioError, ConfigError, DataError, DatasetError, ProtocolError
from thrum.federation.inprocess import Simulation, simulate
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.federation.summary import write_summary
from thrum.privacy.mechanisms import release
from thrum.systems import load_system
from thrum.systems.embedding_sharing import (
    FramePool,
    network_scores,
    preset_config,
    train_classifier,
)

SETTINGS = ["epochs=1", "members=2", "batch_size=64"]


def run(data: Path, out: Path, **settings: object) -> Simulation:
    dataset = open_dataset(data)
    embedder = "precomputed" if dataset.holds == "features" else "logmel"
    return simulate(
        dataset,
        embedder=create_embedder(embedder),
        config=preset_config("compact", assignments=SETTINGS),
        folder=out,
        device="cpu",
        whitening_from=1,  # so that both algorithms train one and the same classifier
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machines.write_arrays(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def first(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulation, Path]:
    out = tmp_path_factory.mktemp("first")
    return run(arrays, out, sharing="embeddings"), out


@pytest.fixture(scope="module")
def shared(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulation, Path]:
    out = tmp_path_factory.mktemp("shared")
    return run(arrays, out), out


@pytest.mark.slow
def test_nothing_is_lost_on_the_way_to_the_classifier(
    arrays: Path, first: tuple[Simulation, Path]
) -> None:
    """Trained on the same embeddings in one place, the classifier is the same to the bit."""
    simulation, _ = first
    frames = {
        key: [release(own) for own in site.frames(site.training_clips(key))]
        for site in simulation.sites
        for key in site.machines
    }
    embedder = simulation.sites[0].embedder
    pooled = train_classifier(
        FramePool(frames),
        preset_config("compact", assignments=SETTINGS),
        stack_frames=embedder.stack_frames,
        stack_hop=embedder.stack_hop,
        device="cpu",
    )
    for site, own in zip(simulation.sites, simulation.scores, strict=True):
        test = [release(frames) for frames in site.frames(own.clips)]
        together = network_scores(pooled, own.key, frames[own.key], test).scores
        assert np.array_equal(own.scores["network"].test, together.test)
        assert np.array_equal(own.scores["network"].left_out, together.left_out)


def test_a_round_ends_in_a_system_that_gives_the_same_scores(
    first: tuple[Simulation, Path], shared: tuple[Simulation, Path]
) -> None:
    for simulation, out in (first, shared):
        for site, own in zip(simulation.sites, simulation.scores, strict=True):
            system = load_system(out / "sites" / site.name, device="cpu")
            assert system.machine_keys == [own.key]
            again = system.score(own.clips)
            assert again.selected == own.test.selected == "statistics"
            for method, column in again.columns.items():
                assert np.array_equal(column, own.scores[method].test)
            left_out = system.left_out_scores()[own.key]
            assert np.array_equal(left_out, own.scores["statistics"].left_out)


def test_statistics_need_no_training_and_no_embedding_leaves(
    shared: tuple[Simulation, Path],
) -> None:
    simulation, out = shared
    assert not simulation.classifiers
    assert not list(out.glob("server/pieces/*"))
    for site, own in zip(simulation.sites, simulation.scores, strict=True):
        assert list(own.scores) == ["local", "local_whitened", "pool", "statistics"]
        entries = site.ledger.entries()
        kinds = ["description", "statistics", "acknowledgement", "signature"]
        assert [e.what for e in entries] == kinds
        assert entries[1].clips == 10
        with pytest.raises(ProtocolError, match="only statistics leave"):
            site.manifest("train")


def test_the_scored_sites_clips_are_not_in_its_pool(
    arrays: Path, tmp_path: Path, shared: tuple[Simulation, Path]
) -> None:
    """Other clips at one site change the pools of the others alone."""
    data = tmp_path / "data"
    shutil.copytree(arrays, data)
    path = data / "Press_id_00.npz"
    kept = dict(np.load(path))
    other = machines.frames(np.random.default_rng(99), 7, clips=10)
    np.savez(path, **{**kept, "train_normal": np.stack(other)})
    changed = run(data, tmp_path / "out", sharing="statistics")
    for site, before in zip(changed.sites, shared[0].sites, strict=True):
        (key,) = site.machines
        now, then = (one.system().pools_[key] for one in (site, before))
        assert np.array_equal(now.axes, then.axes) == (key == ("Press", "id_00"))


def test_a_site_that_comes_later_gets_the_pool_and_the_others_do_nothing(
    arrays: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(arrays)
    sites = {
        machine_id: Site(
            machine_id,
            dataset.where(machine_id=machine_id).clips,
            create_embedder("precomputed"),
            tmp_path / machine_id,
            device="cpu",
        )
        for machine_id in ("id_00", "id_01", "id_02")
    }
    for site in sites.values():
        site.prepare()
    late = sites.pop("id_02")

    def server() -> Server:
        return Server(tmp_path / "server", config=preset_config("compact"), device="cpu")

    server().collaborate(sites)
    sent = [len(site.ledger.entries()) for site in sites.values()]
    server().collaborate({"id_02": late})
    assert [len(site.ledger.entries()) for site in sites.values()] == sent
    assert late.system().pools_["Press", "id_02"].count == 20
    assert list(late.score()[0].scores) == ["local", "local_whitened", "pool", "statistics"]


def test_both_algorithms_give_the_same_scores(
    arrays: Path, tmp_path: Path, first: tuple[Simulation, Path]
) -> None:
    second = run(arrays, tmp_path, algorithm=2, sharing="embeddings")
    for one, two in zip(first[0].scores, second.scores, strict=True):
        assert np.array_equal(one.scores["fused"].test, two.scores["fused"].test)
        assert one.id_accuracy == two.id_accuracy
    assert not list(
        (tmp_path / "sites").glob("*/classifiers")
    )  # the classifier stays at the server
    sent = {
        out: [e.detail for e in sim.sites[0].ledger.entries() if e.what == "embeddings"]
        for out, sim in (("one", first[0]), ("two", second))
    }
    assert not any("test" in detail for detail in sent["one"])  # Algorithm 1 sends no test clip
    assert any("test" in detail for detail in sent["two"])


def test_results_as_the_table_wants_them(first: tuple[Simulation, Path]) -> None:
    _, out = first
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "machine",
        "machine_id",
        "method",
        "auc",
        "pauc",
        "n_normal",
        "n_anomaly",
        "seed",
    ]
    methods = {row["method"] for row in rows}
    assert {"local", "local_whitened", "pool", "statistics", "network", "fused"} == methods
    without = [row for row in rows if row["machine_id"] == "id_02"]
    assert {(row["auc"], row["n_normal"], row["n_anomaly"]) for row in without} == {("", "8", "0")}
    assert all(row["auc"] for row in rows if row["machine_id"] != "id_02")


def test_the_report_is_one_file_with_no_outside_address(first: tuple[Simulation, Path]) -> None:
    simulation, out = first
    page = write_summary(simulation, out)
    assert page == out / "report.html"
    text = page.read_text()
    assert "Press" in text
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    assert (out / "report.json").exists()


def test_a_run_of_other_settings_is_not_mixed_in(
    arrays: Path, first: tuple[Simulation, Path]
) -> None:
    with pytest.raises(ConfigError, match=r"holds a run of other settings \(seed\)"):
        run(arrays, first[1], seed=1, sharing="embeddings")


def test_calling_again_changes_nothing(arrays: Path, first: tuple[Simulation, Path]) -> None:
    simulation, out = first
    before = (out / "results.csv").read_bytes()
    again = run(arrays, out, sharing="embeddings")
    assert (out / "results.csv").read_bytes() == before
    assert again.results == simulation.results


def test_machines_of_one_name_on_disk_are_not_mixed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for machine, machine_id in (("press", "hall_2"), ("press_hall", "2")):
        for number in range(3):
            sound = machines.tone(random, 200, seconds=0.5, rate=16000)
            audio.write(tmp_path / machine / machine_id / "normal" / f"{number}.wav", sound, 16000)
    with pytest.raises(DatasetError, match="press/hall_2 and press_hall/2 would both be called"):
        run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_lone_client_gets_local_scores_and_is_told(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", machines=1)
    simulation = run(data, tmp_path / "out")
    assert {row.method for row in simulation.results} == {"local", "local_whitened"}
    assert "machine0/id_00 is alone: there is no other machine to learn from" in simulation.notes[0]
    assert simulation.id_accuracy is None
    assert write_summary(simulation, tmp_path / "out") is not None


def test_one_classifier_a_machine_type(tmp_path: Path) -> None:
    machines.write_arrays(tmp_path / "data", machines=2, kind="Press")
    machines.write_arrays(tmp_path / "data", machines=2, kind="Saw")
    machines.write_arrays(tmp_path / "data", machines=1, kind="Lathe")
    simulation = run(
        tmp_path / "data", tmp_path / "out", per_machine_type=True, sharing="embeddings"
    )
    assert sorted(simulation.classifiers) == ["Press", "Saw"]
    assert [
        note for note in simulation.notes if "Lathe/id_00 has nothing to be told apart from" in note
    ]
    columns = {own.key: set(own.scores) for own in simulation.scores}
    assert "network" in columns["Saw", "id_00"]
    assert "network" not in columns["Lathe", "id_00"]


def test_stereo_44100_hz_and_flac(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", rate=44100, channels=2, suffix=".flac")
    simulation = run(data, tmp_path / "out")
    assert {row.n_anomaly for row in simulation.results} == {3}


def test_clips_shorter_than_one_frame(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", seconds=0.01, clips=9)
    simulation = run(data, tmp_path / "out")
    assert all(np.isfinite(own.scores["statistics"].test).all() for own in simulation.scores)


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    sound = machines.tone(np.random.default_rng(0), 100, seconds=1.0, rate=16000)
    paths = {name: folder / f"{name}.wav" for name in ("truncated", "text", "empty", "nan")}
    audio.write(paths["truncated"], sound, 16000)
    paths["truncated"].write_bytes(paths["truncated"].read_bytes()[:9000])
    paths["text"].write_text("this is no sound")
    audio.write(paths["empty"], sound[:0], 16000)
    import soundfile

    broken = sound.copy()
    broken[7] = np.nan
    soundfile.write(paths["nan"], broken, 16000, subtype="FLOAT")
    reasons = {
        "truncated": "cut short",
        "text": "cannot be read as audio",
        "empty": "holds no sound",
        "nan": "NaN or infinite",
    }
    return {name: (path, reasons[name]) for name, path in paths.items()}


@pytest.mark.parametrize("name", ["truncated", "text", "empty", "nan"])
def test_a_bad_recording_is_named_and_nothing_is_lost(tmp_path: Path, name: str) -> None:
    data = machines.write_sound(tmp_path / "data", clips=18)
    path, reason = bad_files(tmp_path / "bad")[name]
    inserted = data / "machine1" / "normal" / "900.wav"
    path.rename(inserted)
    with pytest.raises((AudioError, DataError), match=reason) as error:
        run(data, tmp_path / "out")
    assert "900.wav" in str(error.value)
    done = list((tmp_path / "out" / "sites").glob("machine0*/embeddings/*.npy"))
    assert done  # what was embedded before is kept
    modified = [file.stat().st_mtime_ns for file in done]
    inserted.unlink()
    run(data, tmp_path / "out")
    assert [file.stat().st_mtime_ns for file in done] == modified


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no recordings and no features"):
        run(tmp_path, tmp_path / "out")
    with pytest.raises(DatasetError, match="no folder at"):
        run(tmp_path / "nowhere", tmp_path / "out")


def test_many_clients(tmp_path: Path) -> None:
    machines.write_arrays(tmp_path / "data", machines=100, clips=3)
    simulation = run(tmp_path / "data", tmp_path / "out")
    assert len(simulation.sites) == 100


def test_a_killed_simulation_goes_on(tmp_path: Path, arrays: Path) -> None:
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "thrum", "collaborate", "simulate", "--data", str(arrays)),
        *("--out", str(out), "--device", "cpu", "--no-report", "--sharing", "embeddings"),
        *(part for setting in ("epochs=8", "members=2") for part in ("--set", setting)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("server/pieces/*/train/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "results.csv").exists()
    ledgers = list(out.glob("sites/*/ledger.jsonl"))
    arrived = {path.parents[1].name for path in out.glob("server/pieces/*/train/*.json")}
    assert arrived
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (out / "results.csv").exists()
    assert len(ledgers) == 3
    for (
        path
    ) in ledgers:  # one piece a site; one that was under way when it was killed is sent again
        sent = path.read_text().count('"embeddings"')
        assert sent == 1 if path.parent.name in arrived else sent in (1, 2)
