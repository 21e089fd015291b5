from __future__ import annotations

import csv
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
from thrum.errors import AudioError, ConfigError, DataError, DatasetError
from thrum.federation.inprocess import Simulation, simulate
from thrum.federation.summary import write_summary
from thrum.systems.embedding_sharing import preset_config

SETTINGS = ["epochs=2", "members=2", "batch_size=64"]


def run(data: Path, out: Path, **settings: object) -> Simulation:
    dataset = open_dataset(data)
    embedder = "precomputed" if dataset.holds == "features" else "logmel"
    return simulate(
        dataset,
        embedder=create_embedder(embedder),
        config=preset_config("compact", assignments=SETTINGS),
        folder=out,
        device="cpu",
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machines.write_arrays(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def first(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulation, Path]:
    out = tmp_path_factory.mktemp("first")
    return run(arrays, out), out


def test_collaborative_equals_centralised_to_the_bit(first: tuple[Simulation, Path]) -> None:
    simulation, _ = first
    for own in simulation.scores:
        together, pooled = own.scores["collaborative"], own.scores["centralised"]
        assert np.array_equal(together.test, pooled.test)
        assert np.array_equal(together.left_out, pooled.left_out)


def test_the_centralised_bound_is_trained_anew(
    arrays: Path, tmp_path: Path, first: tuple[Simulation, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it a copy of the collaborative classifier, damage to the latter would show in both."""
    from thrum.federation import server

    train = server.train_classifier

    def damaged(*arguments: object, **settings: object) -> object:
        classifier = train(*arguments, **settings)  # type: ignore[arg-type]
        for parameter in classifier.members[0].network.parameters():
            parameter.data.zero_()
        return classifier

    monkeypatch.setattr(server, "train_classifier", damaged)
    simulation = run(arrays, tmp_path)
    for own, sound in zip(simulation.scores, first[0].scores, strict=True):
        assert np.array_equal(own.scores["centralised"].test, sound.scores["centralised"].test)
        assert not np.array_equal(own.scores["collaborative"].test, own.scores["centralised"].test)


def test_both_algorithms_give_the_same_scores(
    arrays: Path, tmp_path: Path, first: tuple[Simulation, Path]
) -> None:
    second = run(arrays, tmp_path, algorithm=2, centralised=False)
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
    assert {"local_logmel", "local", "collaborative", "fused", "centralised"} <= methods
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
        run(arrays, first[1], seed=1)


def test_calling_again_changes_nothing(arrays: Path, first: tuple[Simulation, Path]) -> None:
    simulation, out = first
    before = (out / "results.csv").read_bytes()
    again = run(arrays, out)
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
    assert {row.method for row in simulation.results} == {"local_logmel", "local", "local_whitened"}
    assert "machine0/id_00 is alone: there is no other machine ID" in simulation.notes[0]
    assert simulation.id_accuracy is None
    assert write_summary(simulation, tmp_path / "out") is not None


def test_one_classifier_a_machine_type(tmp_path: Path) -> None:
    machines.write_arrays(tmp_path / "data", machines=2, kind="Press")
    machines.write_arrays(tmp_path / "data", machines=2, kind="Saw")
    machines.write_arrays(tmp_path / "data", machines=1, kind="Lathe")
    simulation = run(tmp_path / "data", tmp_path / "out", per_machine_type=True)
    assert sorted(simulation.classifiers) == ["Press", "Saw"]
    assert [note for note in simulation.notes if "Lathe/id_00 is alone" in note]
    columns = {own.key: set(own.scores) for own in simulation.scores}
    assert "collaborative" in columns["Saw", "id_00"]
    assert "collaborative" not in columns["Lathe", "id_00"]


def test_stereo_44100_hz_and_flac(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", rate=44100, channels=2, suffix=".flac")
    simulation = run(data, tmp_path / "out", centralised=False)
    assert {row.n_anomaly for row in simulation.results} == {3}


def test_clips_shorter_than_one_frame(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", seconds=0.01)
    simulation = run(data, tmp_path / "out", centralised=False)
    assert all(np.isfinite(own.scores["fused"].test).all() for own in simulation.scores)


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
        run(data, tmp_path / "out", centralised=False)
    assert "900.wav" in str(error.value)
    done = list((tmp_path / "out" / "sites").glob("machine0*/embeddings/*.npy"))
    assert done  # what was embedded before is kept
    modified = [file.stat().st_mtime_ns for file in done]
    inserted.unlink()
    run(data, tmp_path / "out", centralised=False)
    assert [file.stat().st_mtime_ns for file in done] == modified


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no recordings and no features"):
        run(tmp_path, tmp_path / "out")
    with pytest.raises(DatasetError, match="no folder at"):
        run(tmp_path / "nowhere", tmp_path / "out")


def test_many_clients(tmp_path: Path) -> None:
    machines.write_arrays(tmp_path / "data", machines=100, clips=3)
    simulation = run(tmp_path / "data", tmp_path / "out", centralised=False)
    assert len(simulation.sites) == 100


def test_a_killed_simulation_goes_on(tmp_path: Path, arrays: Path) -> None:
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "thrum", "collaborate", "simulate", "--data", str(arrays)),
        *("--out", str(out), "--device", "cpu", "--no-report"),
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
