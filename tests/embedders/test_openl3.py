"""OpenL3 against version 0.4.2 with its own front end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from references import batch, fixtures, recipe_weights, relative

from thrum.embedders.openl3 import OpenL3, OpenL3Large
from thrum.embedders.weights import Weights

REPRESENTATIONS = ("mel256", "mel128", "linear")
# In sound upsampled from 16 kHz the bins above 8 kHz hold nothing but rounding, which the logarithm
# brings up: that is where two implementations of the Fourier transform differ.
FROM_16K = {"mel256": 5e-3, "mel128": 5e-3, "linear": 1.5e-2}


@pytest.fixture(scope="module")
def waveforms(shared: Path) -> dict[str, np.ndarray]:
    names = ("waveforms_48k_machine", "waveforms_48k_tone_clicks", "waveform_native48k")
    return fixtures(shared, *names)


@pytest.fixture(scope="module")
def weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("openl3")
    return recipe_weights(shared, folder, "openl3_mel256_env", "openl3_audio")


@pytest.fixture(scope="module", params=REPRESENTATIONS)
def model(request: pytest.FixtureRequest, weights: Weights) -> OpenL3:
    return OpenL3(input_representation=request.param, weights=weights)


@pytest.fixture(scope="module")
def reference(shared: Path, model: OpenL3) -> dict[str, np.ndarray]:
    return fixtures(shared, f"openl3_{model.input_representation}")


@pytest.mark.data
def test_network_equals_the_original(
    model: OpenL3, weights: Weights, reference: dict[str, np.ndarray]
) -> None:
    spectrogram = batch(reference["kapre_spec_machine_f40"])
    found = model.embed_spectrograms(spectrogram)[0]
    assert relative(found, reference["kapre_emb512_machine"][40]) < 1e-5
    large = OpenL3Large(input_representation=model.input_representation, weights=weights)
    found = large.embed_spectrograms(spectrogram)[0]
    assert relative(found, reference["kapre_emb6144_machine_f0_40"][1]) < 1e-5


@pytest.mark.data
def test_front_end_equals_the_original(
    model: OpenL3, reference: dict[str, np.ndarray], waveforms: dict[str, np.ndarray]
) -> None:
    machine = waveforms["machine"][40 * 4800 - 24000 :][:48000]
    found = model.spectrograms(batch(machine))[0].numpy()
    expected = reference["kapre_spec_machine_f40"]
    assert found.shape == expected.shape
    audible = expected > -55
    np.testing.assert_allclose(found[audible], expected[audible], rtol=0, atol=0.05)


@pytest.mark.data
def test_embeddings_of_sound_at_its_rate_equal_the_original(
    model: OpenL3,
    reference: dict[str, np.ndarray],
    waveforms: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OpenL3, "sample_rate", 48000)
    embeddings, times = model.frames(batch(waveforms["noise48"]))
    assert relative(embeddings[0], reference["kapre_emb512_noise48"]) < 1e-5
    np.testing.assert_allclose(times[0], reference["timestamps_noise48"], atol=1e-6)


@pytest.mark.data
def test_embeddings_from_16_khz_equal_the_original(
    model: OpenL3, reference: dict[str, np.ndarray], shared: Path
) -> None:
    tone = fixtures(shared, "waveforms_16k")["tone"]
    found = model.frames(batch(tone))[0][0]
    tolerance = FROM_16K[model.input_representation]
    assert relative(found, reference["kapre_emb512_fullpath16k_tone"]) < tolerance


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("clip", ["machine", "clicks"])
def test_ten_seconds_equal_the_original(
    model: OpenL3, reference: dict[str, np.ndarray], shared: Path, clip: str
) -> None:
    embeddings, times = model.frames(batch(fixtures(shared, "waveforms_16k")[clip]))
    assert embeddings.shape == (1, 96, 512)
    tolerance = FROM_16K[model.input_representation]
    assert relative(embeddings[0], reference[f"kapre_emb512_{clip}"]) < tolerance
    np.testing.assert_allclose(times[0], reference[f"timestamps_{clip}"], atol=1e-5)


@pytest.mark.data
def test_a_silent_window_is_at_its_own_maximum(model: OpenL3) -> None:
    assert torch.equal(model.spectrograms(torch.zeros(1, 48000)).unique(), torch.zeros(1))
