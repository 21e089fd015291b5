"""YAMNet against TensorFlow's outputs, and with real weights against common sense."""

from pathlib import Path

import numpy as np
import pytest
import torch
from references import CLIPS, batch, fixtures, recipe_weights, relative

from thrum import audio
from thrum.embedders.weights import import_weights
from thrum.embedders.yamnet import YAMNet


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, np.ndarray]:
    return fixtures(shared, "yamnet", "waveforms_16k")


@pytest.fixture(scope="module")
def yamnet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YAMNet:
    folder = tmp_path_factory.mktemp("yamnet")
    return YAMNet(weights=recipe_weights(shared, folder, "yamnet", "yamnet"))


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YAMNet:
    folder = tmp_path_factory.mktemp("real")
    import_weights("yamnet", shared / "weights/yamnet/yamnet.h5", cache=folder)
    return YAMNet(cache=folder)


@pytest.mark.data
@pytest.mark.parametrize("clip", CLIPS)
def test_log_mel_equals_the_original(
    yamnet: YAMNet, reference: dict[str, np.ndarray], clip: str
) -> None:
    found = yamnet.log_mel(batch(reference[clip]))[0].numpy()
    np.testing.assert_allclose(found, reference[f"log_mel_{clip}"], rtol=0, atol=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("clip", CLIPS)
def test_embeddings_equal_the_original(
    yamnet: YAMNet, reference: dict[str, np.ndarray], clip: str
) -> None:
    embeddings, times = yamnet.frames(batch(reference[clip]))
    assert relative(embeddings[0], reference[f"embeddings_{clip}"]) < 1e-5
    logits = yamnet.network.classifier(embeddings)
    assert relative(logits[0], reference[f"logits_{clip}"]) < 1e-5
    np.testing.assert_allclose(times[0], 0.4875 + 0.48 * np.arange(times.shape[1]), rtol=1e-6)


@pytest.mark.data
def test_ten_seconds_give_the_papers_twenty_frames(
    yamnet: YAMNet, reference: dict[str, np.ndarray]
) -> None:
    embeddings, _ = yamnet.frames(batch(reference["machine"]))
    assert embeddings.shape == (1, 20, 1024)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("clip", "classes"),
    [
        ("sine", {"Sine wave"}),
        ("metro_station-paris", {"Rail transport", "Train", "Subway, metro, underground"}),
        ("speech", {"Speech"}),
        ("music", {"Music"}),
        ("typing", {"Computer keyboard", "Typing"}),
    ],
)
def test_real_weights_name_the_sound(
    real: YAMNet, shared: Path, clip: str, classes: set[str]
) -> None:
    if clip == "sine":
        samples = torch.sin(2 * torch.pi * 440 * torch.arange(48000) / 16000)
    else:
        sound, rate = audio.read(shared / f"weights/clips/{clip}.wav")
        samples = torch.from_numpy(audio.resample(sound, rate, 16000))
    names = (shared / "weights/yamnet/yamnet_label_list.txt").read_text().splitlines()
    logits = real.network.classifier(real.scenes(samples[None]))[0]
    assert {names[index] for index in logits.topk(5).indices} & classes
