"""Other runtimes give what PyTorch gives; which one is taken; what is wrong is said."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from contracts.test_contract_embedders import noise, random_weights
from thrum.cli.main import app
from thrum.embedders import EMBEDDERS
from thrum.embedders import runtimes as runtimes_module
from thrum.embedders.compiled import compiled
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.embedders.runtimes import Backend, asked_backend, chosen_backend
from thrum.embedders.weights import Weights, import_weights
from thrum.errors import UsageError

pytest.importorskip("onnx", reason="needs the extra 'export'")
pytest.importorskip("onnxruntime", reason="needs the extra 'export'")

# Pseudo-random weights of EfficientAT are badly conditioned: with the published ones it is 2e-6.
TOLERANCES = {"efficientat_mn04": 2e-5, "efficientat_mn10": 3e-4}
NAMES = [
    pytest.param(name, marks=() if name == "yamnet" else pytest.mark.slow)
    for name in (*TOLERANCES, "yamnet", "openl3", "panns_cnn14", "panns", "beats")
]


def random(name: str) -> tuple[type[PretrainedEmbedder], Weights]:
    cls = EMBEDDERS.load(name)
    assert issubclass(cls, PretrainedEmbedder)
    return cls, random_weights(getattr(cls, "checkpoint", "openl3_mel256_env"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_runtime_gives_what_pytorch_gives(name: str, backend: Backend) -> None:
    pytest.importorskip(backend, reason=f"needs the package {backend}")
    cls, weights = random(name)
    here = cls(weights=weights, backend=backend)
    there = cls(weights=weights, backend="torch")
    for clips, samples in ((2, 24000), (1, 40000)):  # one model, whatever the length
        found, wanted = (each.frames(noise(clips, samples))[0] for each in (here, there))
        assert found.shape == wanted.shape
        assert (found - wanted).norm() <= TOLERANCES.get(name, 5e-6) * wanted.norm()
    assert not torch.equal(found, wanted)  # it was not PyTorch again
    assert here.settings == there.settings


def in_double_precision(embedder: PretrainedEmbedder) -> PretrainedEmbedder:
    """Return it with its network in double precision; the front end stays as it is."""
    exact = copy.deepcopy(embedder)
    exact.network.double()
    exact._run = lambda *inputs: exact.network(*(each.double() for each in inputs))  # type: ignore[method-assign]
    return exact


@pytest.mark.data
def test_real_weights_are_right_to_two_millionths(shared: Path, tmp_path: Path) -> None:
    """Of what double precision gives; PyTorch's own rounding is as large, and differs between processors."""
    from thrum import audio

    files = {
        "yamnet": "yamnet/yamnet.h5",
        "efficientat_mn04": "efficientat/mn04_as_mAP_432.pt",
    }
    sound, _ = audio.read(shared / "weights/clips/speech.wav")
    batch = torch.from_numpy(sound[:48000])[None]
    for name, file in files.items():
        import_weights(name, shared / "weights" / file, cache=tmp_path)
        cls = EMBEDDERS.load(name)
        assert issubclass(cls, PretrainedEmbedder)
        there = cls(cache=tmp_path, backend="torch")
        here = cls(cache=tmp_path, backend="onnxruntime")
        found, exact = (each.frames(batch)[0] for each in (here, in_double_precision(there)))
        assert (found - exact).norm() < 2e-6 * exact.norm()
        assert (found - there.frames(batch)[0]).norm() < 3e-6 * exact.norm()
    assert len(list((tmp_path / "networks").glob("*.onnx"))) == 2


def test_a_model_is_made_once_and_again_where_it_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = torch.nn.Linear(3, 2).eval().requires_grad_(requires_grad=False)
    keep = {"free": (0,), "name": "line", "folder": tmp_path}
    first = compiled(network, [torch.zeros(1, 3)], weights_sha256="a", **keep)
    (path,) = tmp_path.glob("*.onnx")
    made = path.stat().st_mtime_ns
    assert compiled(network, [torch.zeros(1, 3)], weights_sha256="a", **keep) == first
    assert path.stat().st_mtime_ns == made
    compiled(network, [torch.zeros(1, 3)], weights_sha256="b", **keep)
    assert len(list(tmp_path.glob("*.onnx"))) == 2
    path.write_bytes(first[:-1])
    assert compiled(network, [torch.zeros(1, 3)], weights_sha256="a", **keep) == first
    assert "is damaged; it is made again" in caplog.text


def test_auto_takes_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    order: tuple[Backend, ...] = ("openvino", "onnxruntime")
    found = set[str]()
    monkeypatch.setattr(runtimes_module, "is_installed", lambda name: name in found)
    assert chosen_backend("auto", fastest=order, of="YAMNet") == "torch"
    found.add("onnxruntime")
    assert chosen_backend("auto", fastest=order, of="YAMNet") == "onnxruntime"
    found.add("openvino")
    assert chosen_backend("auto", fastest=order, of="YAMNet") == "openvino"


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"no backend is called 'tvm': say auto, torch, onnxr"):
        asked_backend("tvm")
    with pytest.raises(UsageError, match=r"Wav2Vec2 runs with PyTorch alone"):
        chosen_backend("onnxruntime", fastest=(), of="Wav2Vec2")
    monkeypatch.setattr(runtimes_module, "is_installed", lambda name: False)
    with pytest.raises(UsageError, match=r"pip install 'thrum\[export\]'"):
        chosen_backend("onnxruntime", fastest=("onnxruntime",), of="YAMNet")


def test_the_environment_and_the_option_choose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("THRUM_BACKEND", "openvino")
    assert asked_backend() == "openvino"
    assert asked_backend("torch") == "torch"
    words = ["embed", "--embedder", "logmel", "--data", str(tmp_path), "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, [*words, "--backend", "torhc"])
    assert isinstance(result.exception, UsageError)
    CliRunner().invoke(app, [*words, "--backend", "torch"])
    assert asked_backend() == "torch"


def test_bfloat16_stays_with_pytorch() -> None:
    cls, weights = random("yamnet")
    made = cls(weights=weights, backend="onnxruntime", precision="bfloat16")
    assert made.backend == "torch"
