"""PANNs against their original."""

from pathlib import Path

import numpy as np
import pytest
from references import CLIPS, batch, fixtures, recipe_weights, relative

from thrum.embedders.panns import Cnn14, WavegramLogmelCnn14

MODELS = {"panns_cnn14": Cnn14, "panns_wavegram_logmel_cnn14": WavegramLogmelCnn14}
pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module", params=MODELS)
def model(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Cnn14:
    name = request.param
    weights = recipe_weights(shared, tmp_path_factory.mktemp("panns"), name, name)
    return MODELS[name](weights=weights)


@pytest.fixture(scope="module")
def reference(shared: Path, model: Cnn14) -> dict[str, np.ndarray]:
    return fixtures(shared, model.checkpoint)


@pytest.mark.parametrize("clip", CLIPS)
def test_embeddings_equal_the_original(
    model: Cnn14, reference: dict[str, np.ndarray], shared: Path, clip: str
) -> None:
    embedding = model.embed_windows(batch(fixtures(shared, "waveforms_32k")[clip]))
    assert relative(embedding[0], reference[f"embedding_{clip}"]) < 1e-5
    assert relative(model.network.fc_audioset(embedding)[0], reference[f"logits_{clip}"]) < 1e-5


@pytest.mark.parametrize("clip", CLIPS)
def test_log_mel_equals_the_original(model: Cnn14, shared: Path, clip: str) -> None:
    expected = fixtures(shared, "panns_wavegram_logmel_cnn14")[f"logmel_{clip}"]
    found = model.log_mel(batch(fixtures(shared, "waveforms_32k")[clip]))[0, : len(expected)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=0.05)


def test_ten_seconds_give_the_papers_ninety_frames(
    model: Cnn14, reference: dict[str, np.ndarray], shared: Path
) -> None:
    embeddings, times = model.frames(batch(fixtures(shared, "waveforms_16k")["machine"]))
    expected = reference["embedding_machine_win1s_hop100ms"]
    step = 1 if len(expected) == 91 else 10
    assert embeddings.shape == (1, 90, 2048)
    assert relative(embeddings[0, ::step], expected[:-1]) < 1e-5
    np.testing.assert_allclose(times[0], 0.5 + 0.1 * np.arange(90), rtol=1e-5)
