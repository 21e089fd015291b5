"""What is promised of every registered embedder: shapes, types, determinism, batches, bad input."""

import json
import zlib

import pytest
import torch
from torch import Tensor

from thrum.embedders import EMBEDDERS, Embedder
from thrum.embedders.checkpoints import checkpoint_called
from thrum.embedders.conversion import build_network
from thrum.embedders.weights import Weights
from thrum.errors import AudioError

LARGE = {"panns", "panns_cnn14", "openl3_6144", "beats", "wav2vec2"}
NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
    for name in EMBEDDERS
    if name != "precomputed"  # takes features, not audio
]


def random_weights(checkpoint: str) -> Weights:
    """Weights of the right names and shapes, such that values neither vanish nor explode."""
    generator = torch.Generator().manual_seed(zlib.crc32(checkpoint.encode()))
    state = {}
    for name, shape in build_network(checkpoint_called(checkpoint)).state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
        elif shape.ndim <= 1 and name.endswith(("weight", "running_var")):
            state[name] = torch.ones(shape.shape)
        elif shape.ndim <= 1 or name.endswith("original0"):
            state[name] = torch.full(shape.shape, 0.1)
        else:
            fan_in = shape[0].numel()
            state[name] = torch.randn(shape.shape, generator=generator) * (2 / fan_in) ** 0.5
    return Weights(state, sha256="0" * 64)


@pytest.fixture(scope="module", params=NAMES)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    cls = EMBEDDERS.load(request.param)
    if request.param == "wav2vec2":
        pytest.importorskip("transformers", reason="needs the extra 'ssl'")
    if request.param.startswith("openl3"):
        return cls(weights=random_weights("openl3_mel256_env"))
    if hasattr(cls, "checkpoint"):
        return cls(weights=random_weights(cls.checkpoint))
    return cls()


def noise(clips: int, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(clips, samples, generator=generator) - 0.5


def test_frames_have_the_shape_that_the_embedder_names(embedder: Embedder) -> None:
    embeddings, times = embedder.frames(noise(2, 9600))
    assert embeddings.dtype == torch.float32
    assert embeddings.shape == (2, times.shape[1], embedder.embedding_size)
    assert times.shape[0] == 2
    assert torch.isfinite(embeddings).all()
    assert embeddings.std() > 0
    steps = times.diff(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, embedder.hop_seconds))
    assert times.min() >= 0
    assert embedder.stack_frames >= 1
    assert embedder.stack_hop >= 1


def test_scenes_are_one_vector_a_clip(embedder: Embedder) -> None:
    audio = noise(2, 8000)
    scenes = embedder.scenes(audio)
    assert scenes.shape == (2, embedder.embedding_size)
    torch.testing.assert_close(scenes, embedder.frames(audio)[0].mean(dim=1), rtol=1e-4, atol=1e-4)


def test_the_same_sound_gives_the_same_numbers(embedder: Embedder) -> None:
    audio = noise(1, 8000)
    assert torch.equal(embedder.frames(audio)[0], embedder.frames(audio)[0])


def test_a_batch_gives_what_its_clips_give_one_by_one(embedder: Embedder) -> None:
    audio = noise(2, 8000)
    audio[1] *= torch.linspace(0, 1, 8000)
    together = embedder.frames(audio)[0]
    alone = torch.cat([embedder.frames(clip[None])[0] for clip in audio])
    assert (together - alone).norm() < 1e-4 * alone.norm()


def test_the_sound_is_not_changed(embedder: Embedder) -> None:
    audio = noise(1, 8000)
    embedder.frames(audio)
    assert torch.equal(audio, noise(1, 8000))


@pytest.mark.parametrize("samples", [1, 300])
def test_sound_shorter_than_a_frame_gives_one(embedder: Embedder, samples: int) -> None:
    embeddings, _ = embedder.frames(noise(1, samples))
    assert embeddings.shape[1] >= 1
    assert torch.isfinite(embeddings).all()


def test_silence_is_finite(embedder: Embedder) -> None:
    assert torch.isfinite(embedder.frames(torch.zeros(1, 8000))[0]).all()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(16000), "wants audio"),
        (torch.zeros(1, 0), "at least one sample"),
        (torch.zeros(1, 16000, dtype=torch.int16), "as floats"),
        (torch.full((1, 16000), torch.nan), "NaN"),
        (torch.full((1, 16000), torch.inf), "infinite"),
    ],
)
def test_bad_sound_is_refused(embedder: Embedder, audio: Tensor, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        embedder.frames(audio)


def test_settings_are_plain_and_tell_embedders_apart(embedder: Embedder) -> None:
    assert json.loads(json.dumps(embedder.settings)) == embedder.settings
    assert embedder.settings["class"] == type(embedder).__qualname__
