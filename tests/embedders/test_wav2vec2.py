"""wav2vec 2.0 against transformers' own output, each layer that is stored."""

from pathlib import Path

import numpy as np
import pytest
from references import CLIPS, batch, every, fixtures, recipe_weights, relative

from thrum.embedders.wav2vec2 import Wav2Vec2
from thrum.embedders.weights import Weights
from thrum.errors import UsageError

OUTPUTS = {12: "last_hidden_state", 6: "hidden_states_6", 0: "hidden_states_0"}


@pytest.fixture(scope="module")
def weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    pytest.importorskip("transformers", reason="needs the extra 'ssl'")
    folder = tmp_path_factory.mktemp("wav2vec2")
    return recipe_weights(shared, folder, "wav2vec2_base", "wav2vec2_base")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("layer", OUTPUTS)
def test_each_layer_equals_the_original(weights: Weights, shared: Path, layer: int) -> None:
    reference = fixtures(shared, "wav2vec2_base", "waveforms_16k")
    model = Wav2Vec2(weights=weights, layer=layer)
    for clip in CLIPS:
        embeddings, times = model.frames(batch(reference[clip]))
        expected, step = every(reference, f"{OUTPUTS[layer]}_{clip}")
        assert relative(embeddings[0, ::step], expected) < 2e-5
        np.testing.assert_allclose(times[0, :2], [0.0125, 0.0325], rtol=1e-6)


@pytest.mark.data
@pytest.mark.slow
def test_the_input_is_normalised_as_the_original(weights: Weights, shared: Path) -> None:
    reference = fixtures(shared, "wav2vec2_base", "waveforms_16k")
    model = Wav2Vec2(weights=weights, layer=0)
    for clip in CLIPS:
        found = model.normalised(batch(reference[clip]))[0, :64]
        assert relative(found, reference[f"normalised_input_head_{clip}"]) < 1e-5


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="layers 0 to 12, got 13"):
        Wav2Vec2(layer=13)
