"""What is exported says what the monitor says; what cannot be exported is named."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import exporting
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from contracts.test_contract_embedders import noise, random_weights
from embedders.test_runtimes import TOLERANCES
from thrum import audio, storage
from thrum.cli.main import app
from thrum.embedders.base import EMBEDDERS
from thrum.errors import DataError, UsageError
from thrum.export import export_monitor, pretrained
from thrum.export.embedders import KNOWN, exported
from thrum.export.frontend import SAMPLES
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
    ("knn", {"embedder": "yamnet"}),
    ("knn", {"embedder": "efficientat_mn04"}),
    *(
        pytest.param(system, config, marks=pytest.mark.slow)
        for system, config in [
            ("embedding-sharing", {"form": "sequence", "epochs": 1, "embedder": "yamnet"}),
            ("autoencoder", {"epochs": 1, "embedder": "efficientat_mn10"}),
            ("knn", {"score": "mean_deviation", "metric": "cosine", "neighbours": 3}),
            ("embedding-sharing", {"form": "sequence", "epochs": 1, "embedder": "logmel"}),
            ("autoencoder", {"epochs": 1, "score": "mahalanobis", "embedder": "modulation"}),
            ("autoencoder", {"epochs": 1, "score": "mahalanobis_per_frame"}),
            ("vae", {"epochs": 1, "stack_frames": 1}),
        ]
    ),
]


PRETRAINED = sorted(set(KNOWN) - {"logmel", "modulation"})
FAST = {"yamnet", "efficientat_mn04"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache, with random weights of the small networks."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("yamnet", "efficientat_mn04", "efficientat_mn10"):
        storage.save_state(folder / "weights", dict(random_weights(name).state), {}, name=name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THRUM_CACHE", str(folder))
        yield folder


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
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, config: dict
) -> None:
    monitor = exporting.monitor(data, tmp_path / "run", system, config)
    deviation = monitor.baseline.left_out.std()
    # Embeddings are kept in half precision: one that is rounded the other way moves a score by more.
    np.testing.assert_allclose(*both(monitor, tmp_path), rtol=1e-4, atol=5e-3 * deviation)
    without_rounding(monkeypatch)
    np.testing.assert_allclose(*both(monitor, tmp_path), rtol=1e-6, atol=1e-4 * deviation)


def both(monitor: Monitor, folder: Path) -> tuple[list[float], list[float]]:
    """Export a monitor; return the scores that the file gives, and its own."""
    export_monitor(monitor, folder / "m.onnx")
    model = Model(folder / "m.onnx")
    scores = []
    for sound in exporting.sounds():
        wanted = monitor.judge(sound, sample_rate=exporting.RATE)[0]
        found = model.judge(sound)
        assert found.state == wanted.state or wanted.state == "alarm"
        assert found.p == wanted.p
        if wanted.score is None:
            assert found.score is None
        else:
            assert found.score is not None
            scores.append((found.score, wanted.score))
    here, there = zip(*scores, strict=True)
    return list(here), list(there)


def without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have monitors and files judge embeddings in the precision in which they were computed."""
    cast = Graph.cast
    single = {"float16": "float32"}
    monkeypatch.setattr("thrum.privacy.mechanisms.gate.RELEASED_DTYPE", np.float32)
    monkeypatch.setattr("thrum.privacy.mechanisms.gate.all_finite", lambda frames: True)
    monkeypatch.setattr("thrum.embedders.store.stored", lambda clip, frames, dtype: frames)
    monkeypatch.setattr(
        Graph, "cast", lambda graph, name, dtype: cast(graph, name, single.get(dtype, dtype))
    )


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


@pytest.mark.parametrize(
    ("name", "why"),
    [("precomputed", "it takes features, not sound"), ("wav2vec2", "its network is transformers'")],
)
def test_other_embedders_are_refused_by_name_and_with_the_reason(name: str, why: str) -> None:
    assert set(EMBEDDERS) == {*KNOWN, "precomputed", "wav2vec2"}  # there is no other
    with pytest.raises(UsageError, match=f"the embedder '{name}' cannot be exported, for {why}"):
        exported(name)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in PRETRAINED]
)
def test_frames_are_those_of_the_embedder(name: str) -> None:
    import onnxruntime

    cls = EMBEDDERS.load(name)
    weights = random_weights(getattr(cls, "checkpoint", "openl3_mel256_env"))
    embedder = cls(weights=weights, backend="torch")
    graph = Graph()
    found = pretrained.frames(graph, embedder, SAMPLES)
    graph.output("frames", found, "float32", ["frames", embedder.embedding_size])
    model = graph.model("frames", inputs=SAMPLES, told={}).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for samples in (1, 9600, 16000, 24001):  # padded; less than a window; one; several, and a rest
        sound = noise(1, samples)
        wanted = embedder.frames(sound)[0][0].numpy()
        frames = session.run(None, {SAMPLES: sound[0].numpy()})[0]
        assert frames.shape == wanted.shape
        assert np.linalg.norm(frames - wanted) < TOLERANCES.get(name, 5e-6) * np.linalg.norm(wanted)


def test_clips_too_long_for_an_embedder_are_refused(monitor: Monitor, tmp_path: Path) -> None:
    monitor.system.config = replace(monitor.system.config, embedder="beats")
    taking = replace(monitor.takings[monitor.name], longest_seconds=20.0)
    monitor.takings[monitor.name] = taking
    with pytest.raises(UsageError, match=r"clips of up to 30 s .* 29.92 s at a time: .* 19$"):
        export_monitor(monitor, tmp_path / "m.onnx")


@pytest.fixture(scope="module")
def of_yamnet(tmp_path_factory: pytest.TempPathFactory) -> Monitor:
    folder = tmp_path_factory.mktemp("yamnet")
    data = exporting.dataset(folder / "data", clips=6, seconds=1.0)
    return exporting.monitor(data, folder / "run", "knn", {"embedder": "yamnet", "neighbours": 1})


def test_in_8_bits_a_monitor_is_learnt_again_by_the_network_that_it_gets(
    of_yamnet: Monitor, tmp_path: Path
) -> None:
    told = export_monitor(of_yamnet, tmp_path / "m.onnx", int8=True)
    assert told["network"] == "int8"
    assert told["int8"]["bytes_after"] < 0.3 * told["int8"]["bytes_before"]
    assert told["int8"]["clips"] == 6
    model = Model(tmp_path / "m.onnx")
    known = np.array(model.told["left_out_scores"]["normal"])
    assert not np.allclose(known, of_yamnet.baseline.left_out, rtol=1e-3)
    # What it knows, its own network heard: a clip is at no distance from itself.
    for clip in of_yamnet.baseline.clips[:3]:
        assert model.judge(audio.read(Path(clip.path))[0]).score < 1e-2 * np.median(known)


def test_in_8_bits_only_where_it_pays_and_where_the_clips_are_there(
    of_yamnet: Monitor, monitor: Monitor, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match="int8 is offered where it pays, for yamnet, not for 'logm"
    ):
        export_monitor(monitor, tmp_path / "m.onnx", int8=True)
    other = copy(monitor)
    other.system = SYSTEMS.load("autoencoder")()
    with pytest.raises(UsageError, match="for the system 'knn' alone, this one is 'autoencoder'"):
        export_monitor(other, tmp_path / "m.onnx", int8=True)
    path = Path(of_yamnet.baseline.clips[4].path)
    path.rename(tmp_path / "away.wav")
    with pytest.raises(DataError, match=f"{path.name} is not there, or not what was learnt"):
        export_monitor(of_yamnet, tmp_path / "m.onnx", int8=True)
    (tmp_path / "away.wav").rename(path)
    assert not (tmp_path / "m.onnx").exists()


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
