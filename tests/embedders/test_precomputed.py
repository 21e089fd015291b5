"""Features computed elsewhere pass through unchanged, or are refused."""

import pytest
import torch

from thrum.embedders.precomputed import Precomputed
from thrum.errors import DataError


def test_returns_what_came_as_float32() -> None:
    features = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    embedder = Precomputed(hop_seconds=0.5)
    embeddings, times = embedder.frames(features)
    assert torch.equal(embeddings, features.float())
    assert times[1].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert embedder.embedding_size == 5


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(1, 16000), "wants features"),
        (torch.zeros(1, 0, 5), "wants features"),
        (torch.full((1, 2, 5), torch.nan), "NaN"),
        (torch.zeros(1, 2, 6), "6 dimensions"),
    ],
)
def test_refuses_what_are_no_features(features: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Precomputed(embedding_size=5).frames(features)
