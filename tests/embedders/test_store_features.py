"""Features from .npz files go into the store through the embedder 'precomputed'."""

from pathlib import Path

import numpy as np
import pytest

from thrum.embedders import EmbeddingStore, embed_into
from thrum.embedders.logmel import LogMel
from thrum.embedders.precomputed import Precomputed
from thrum.errors import AudioError
from thrum.types import Clip


@pytest.fixture
def rows(tmp_path: Path) -> tuple[np.ndarray, list[Clip]]:
    features = np.random.default_rng(0).standard_normal((20, 7, 3)).astype(np.float16)
    path = tmp_path / "ToyCar_id_01.npz"
    np.savez(path, train_normal=features)
    clips = [
        Clip(path, "ToyCar", "id_01", "train", label="normal", row=("train_normal", index))
        for index in range(20)
    ]
    return features, clips


def test_each_row_comes_back(rows: tuple[np.ndarray, list[Clip]], tmp_path: Path) -> None:
    features, clips = rows
    store = EmbeddingStore(tmp_path / "store")
    assert embed_into(store, clips, Precomputed()) == 20
    for index in (19, 0, 7):
        np.testing.assert_array_equal(store.frames(clips[index]), features[index])
    assert embed_into(store, clips, Precomputed()) == 0


def test_another_embedder_is_refused(rows: tuple[np.ndarray, list[Clip]], tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="use the embedder 'precomputed'"):
        embed_into(EmbeddingStore(tmp_path / "store"), rows[1], LogMel())
