"""EfficientAT against its original, with pseudo-random and with the published weights."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from references import CLIPS, batch, fixtures, recipe_weights, relative

from thrum import audio
from thrum.embedders.efficientat import MobileNet04, MobileNet10
from thrum.embedders.weights import import_weights

MODELS = {"mn04": (MobileNet04, 1e-3), "mn10": (MobileNet10, 1e-4)}


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, dict[str, np.ndarray]]:
    names = ("mn04_as", "mn10_as", "waveforms_16k", "waveforms_32k")
    return {name: fixtures(shared, name) for name in names}


@pytest.fixture(scope="module")
def ported(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MobileNet04]:
    folder = tmp_path_factory.mktemp("efficientat")
    return {
        name: model(weights=recipe_weights(shared, folder, f"efficientat_{name}", f"{name}_as"))
        for name, (model, _) in MODELS.items()
    }


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> MobileNet04:
    folder = tmp_path_factory.mktemp("real")
    original = shared / "weights/efficientat/mn04_as_mAP_432.pt"
    import_weights("efficientat_mn04", original, cache=folder)
    return MobileNet04(cache=folder)


@pytest.mark.data
@pytest.mark.parametrize("clip", CLIPS)
def test_mel_equals_the_original(
    ported: dict[str, MobileNet04], reference: dict[str, dict[str, np.ndarray]], clip: str
) -> None:
    found = ported["mn04"].mel(batch(reference["waveforms_32k"][clip]))[0].T.numpy()
    np.testing.assert_allclose(found, reference["mn04_as"][f"mel_{clip}"], rtol=0, atol=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("clip", CLIPS)
def test_embeddings_equal_the_original(
    ported: dict[str, MobileNet04],
    reference: dict[str, dict[str, np.ndarray]],
    name: str,
    clip: str,
) -> None:
    model, expected, tolerance = ported[name], reference[f"{name}_as"], MODELS[name][1]
    maps = model.maps(model.mel(batch(reference["waveforms_32k"][clip])))
    assert relative(maps[0].mean(dim=(1, 2)), expected[f"embedding_{clip}"]) < tolerance
    assert relative(model.network.classifier(maps)[0], expected[f"logits_{clip}"]) < tolerance
    from_16k = model.scenes(batch(reference["waveforms_16k"][clip]))[0]
    assert relative(from_16k, expected[f"embedding_{clip}"]) < tolerance


@pytest.mark.data
def test_ten_seconds_give_a_frame_for_each_column_of_the_map(
    ported: dict[str, MobileNet04], reference: dict[str, dict[str, np.ndarray]]
) -> None:
    embeddings, times = ported["mn04"].frames(batch(reference["waveforms_16k"]["machine"]))
    expected = reference["mn04_as"]["last_fmap_machine"].mean(axis=1).T  # (32, 384)
    assert relative(embeddings[0], expected) < 1e-3
    np.testing.assert_allclose(times[0], 0.32 * np.arange(32), rtol=1e-6)


@pytest.mark.weights
@pytest.mark.parametrize("clip", CLIPS)
def test_the_published_weights_give_the_originals_output(
    real: MobileNet04, reference: dict[str, dict[str, np.ndarray]], clip: str
) -> None:
    expected = reference["mn04_as"]
    maps = real.maps(real.mel(batch(reference["waveforms_32k"][clip])))
    assert relative(maps[0], expected[f"real_last_fmap_{clip}"]) < 1e-4
    assert relative(maps[0].mean(dim=(1, 2)), expected[f"real_embedding_{clip}"]) < 1e-4
    assert relative(real.network.classifier(maps)[0], expected[f"real_logits_{clip}"]) < 1e-4
    from_16k = real.scenes(batch(reference["waveforms_16k"][clip]))[0]
    assert relative(from_16k, expected[f"real_embedding_{clip}"]) < 1e-4


@pytest.mark.weights
@pytest.mark.parametrize(
    ("clip", "classes"),
    [
        ("sine", {"Sine wave", "Dial tone", "Beep, bleep"}),
        ("metro_station-paris", {"Train", "Rail transport", "Subway, metro, underground"}),
        ("speech", {"Speech"}),
        ("music", {"Music"}),
        ("typing", {"Typing", "Computer keyboard"}),
    ],
)
def test_the_published_weights_name_the_sound(
    real: MobileNet04, shared: Path, clip: str, classes: set[str]
) -> None:
    with (shared / "weights/efficientat/class_labels_indices.csv").open() as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    if clip == "sine":
        samples = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(48000) / 16000)
    else:
        sound, rate = audio.read(shared / f"weights/clips/{clip}.wav")
        samples = torch.from_numpy(audio.resample(sound, rate, 16000))
    embedding = real.scenes(samples[None])
    logits = real.network.classifier(embedding[:, :, None, None])[0]
    assert {names[index] for index in logits.topk(3).indices} & classes
