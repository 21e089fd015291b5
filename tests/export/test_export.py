"""What is exported says what the monitor says; what cannot be exported is named."""

from __future__ import annotations

from pathlib import Path

import exporting
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from thrum.cli.main import app
from thrum.embedders.base import EMBEDDERS
from thrum.errors import UsageError
from thrum.export import export_monitor
from thrum.export.embedders import exported
from thrum.export.graph import Graph
from thrum.export.scores import EXPORTED, score
from thrum.monitoring import AlarmSettings, Monitor, open_monitor
from thrum.systems.base import SYSTEMS
from thrum_edge import Model

CASES = [
    ("knn", {}),
    ("knn", {"embedder": "modulation"}),
    ("embedding-sharing", {"form": "sequence", "epochs": 1}),
    ("autoencoder", {"epochs": 1}),
    *(
        pytest.param(system, config, marks=pytest.mark.slow)
        for system, config in [
            ("knn", {"score": "mean_deviation", "metric": "cosine", "neighbours": 3}),
            ("embedding-sharing", {"form": "sequence", "epochs": 1, "embedder": "logmel"}),
            ("autoencoder", {"epochs": 1, "score": "mahalanobis", "embedder": "modulation"}),
            ("autoencoder", {"epochs": 1, "score": "mahalanobis_per_frame"}),
            ("vae", {"epochs": 1, "stack_frames": 1}),
        ]
    ),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exporting.dataset(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of k-NN."""
    folder = tmp_path_factory.mktemp("knn") / "run"
    exporting.monitor(data, folder, "knn", {})
    return folder


@pytest.fixture
def monitor(run: Path) -> Monitor:
    return open_monitor(run, "machine0/id_00", device="cpu")


@pytest.mark.parametrize(("system", "config"), CASES)
def test_the_file_says_what_the_monitor_says(
    data: Path, tmp_path: Path, system: str, config: dict
) -> None:
    monitor = exporting.monitor(data, tmp_path / "run", system, config)
    export_monitor(monitor, tmp_path / "m.onnx")
    model = Model(tmp_path / "m.onnx")
    deviation = monitor.baseline.left_out.std()
    scores = []
    for sound in exporting.sounds():
        wanted = monitor.judge(sound, sample_rate=exporting.RATE)[0]
        found = model.judge(sound)
        assert found.state == wanted.state or wanted.state == "alarm"
        assert found.p == wanted.p
        if wanted.score is None:
            assert found.score is None
        else:
            scores.append((found.score, wanted.score))
    here, there = np.array(scores).T
    assert np.median(np.abs(here - there)) < 1e-4 * deviation
    # Embeddings are kept in half precision: one that is rounded the other way moves a score by more.
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=5e-3 * deviation)


def test_operating_states_are_told_apart(monitor: Monitor, tmp_path: Path) -> None:
    told = export_monitor(monitor, tmp_path / "m.onnx")
    states = {Model(tmp_path / "m.onnx").judge(sound).state for sound in exporting.sounds()}
    assert states >= {"well", "no sound"}
    assert states & {"off", "unknown state"}
    assert told["operating_states"] == ["normal"]


def test_two_operating_states_have_their_own_p_values(tmp_path: Path) -> None:
    import machines
    from thrum import audio

    random = np.random.default_rng(0)
    for number in range(24):
        for name, gain in (("idle", 0.01), ("work", 1.0)):
            sound = gain * machines.tone(random, 100, seconds=2, rate=16000)
            path = tmp_path / "data" / "fan" / f"{name}{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, sound.astype(np.float32), 16000)
    monitor = exporting.monitor(tmp_path / "data", tmp_path / "run", "knn", {})
    told = export_monitor(monitor, tmp_path / "m.onnx")
    assert len(told["operating_states"]) == 2
    model, seen = Model(tmp_path / "m.onnx"), set()
    for gain in (1.0, 0.01, 0.9, 0.011):
        sound = (gain * machines.tone(random, 100, seconds=2, rate=16000)).astype(np.float32)
        wanted, found = monitor.judge(sound, sample_rate=16000)[0], model.judge(sound)
        assert (found.operating, found.p) == (wanted.operating, wanted.p)
        seen.add(found.operating)
    assert len(seen) == 2


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - set(EXPORTED)))
def test_other_systems_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"the system '{name}' cannot be exported yet, only auto"):
        score(Graph(), SYSTEMS.load(name)(), ("fan", "id_00"), "frames")


@pytest.mark.parametrize("name", sorted(set(EMBEDDERS) - {"logmel", "modulation"}))
def test_other_embedders_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"the embedder '{name}' cannot be exported yet, only log"):
        exported(name)


def test_what_is_told_in_the_file(monitor: Monitor, tmp_path: Path) -> None:
    told = export_monitor(monitor, tmp_path / "m.onnx")
    assert (told["machine"], told["system"], told["seconds"]) == (monitor.name, "knn", 4.0)
    assert told["promises"] == monitor.promises
    assert told["left_out_scores"]["normal"] == monitor.baseline.left_out.tolist()
    assert Model(tmp_path / "m.onnx").told == told
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)


def test_a_tail_model_is_no_promise_and_is_not_exported(run: Path, tmp_path: Path) -> None:
    settings = AlarmSettings("clip", 100, tail=True)
    monitor = open_monitor(run, "machine0/id_00", alarms=settings)
    with pytest.raises(UsageError, match="alarms by a tail model"):
        export_monitor(monitor, tmp_path / "m.onnx")


def test_the_command(run: Path, monitor: Monitor, tmp_path: Path) -> None:
    words = ["export", str(run), "--machine", monitor.name]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "m.onnx")])
    assert result.exit_code == 0, result.output
    assert f"{monitor.name} by knn" in result.stdout
    assert "promised: at most one false alarm in 1,000 clips" in result.stdout
