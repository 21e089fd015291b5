from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import machines
from thrum.bench.once import embedded
from thrum.datasets import open_dataset
from thrum.embedders.base import Embedder
from thrum.embedders.openl3 import OpenL3
from thrum.types import Dataset


class Small(Embedder):
    """Two numbers a tenth of a second: the mean level, and its negative; or the maximum of both."""

    hop_seconds = 0.1
    stack_frames = stack_hop = 1
    calls = 0

    def __init__(self, size: int = 2) -> None:
        self.embedding_size = size

    @property
    def settings(self) -> dict[str, object]:
        return {**super().settings, "size": self.embedding_size}

    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        type(self).calls += len(audio)
        means = self._checked(audio).unfold(1, 1600, 1600).abs().mean(dim=2)  # (B, T)
        both = torch.stack([means, -means], dim=-1)[..., : self.embedding_size]
        return both, self._times(both, first_seconds=0.05)


class Pooled(Small):
    """What one can pool from `Small`."""

    def larger(self) -> Small:
        return Small()

    def from_larger(self, frames: np.ndarray) -> np.ndarray:
        return frames.max(axis=1, keepdims=True)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    Small.calls = Pooled.calls = 0
    return open_dataset(machines.write_sound(tmp_path / "data"))


def test_every_clip_is_embedded_once_for_all_cells(dataset: Dataset, tmp_path: Path) -> None:
    first = embedded(dataset, Small(), tmp_path)
    assert Small.calls == len(list(dataset)) == len(first)
    again = embedded(dataset, Small(), tmp_path)
    assert Small.calls == len(list(dataset))
    clip = next(iter(dataset))
    assert np.array_equal(again.frames(clip), first.frames(clip))


def test_other_settings_and_other_data_have_stores_of_their_own(
    dataset: Dataset, tmp_path: Path
) -> None:
    folders = {
        embedded(dataset, Small(2), tmp_path).folder,
        embedded(dataset, Small(1), tmp_path).folder,
        embedded(open_dataset(machines.write_sound(tmp_path / "more")), Small(), tmp_path).folder,
    }
    assert len(folders) == 3


def test_a_clip_that_changed_is_embedded_anew(dataset: Dataset, tmp_path: Path) -> None:
    embedded(dataset, Small(), tmp_path)
    clip = next(iter(dataset))
    other = list(dataset)[1]
    clip.path.write_bytes(other.path.read_bytes())
    store = embedded(dataset, Small(), tmp_path)
    assert np.array_equal(store.frames(clip), store.frames(other))


def test_an_embedder_that_is_pooled_from_a_larger_one_embeds_nothing(
    dataset: Dataset, tmp_path: Path
) -> None:
    store = embedded(dataset, Pooled(1), tmp_path)
    assert (Pooled.calls, Small.calls) == (0, len(list(dataset)))
    for clip in dataset:
        wanted = embedded(dataset, Small(), tmp_path).frames(clip).max(axis=1)
        assert np.array_equal(store.frames(clip)[:, 0], wanted)
    assert Small.calls == len(list(dataset))


def waits(root: Path, out: Path) -> None:
    embedded(open_dataset(root), Small(), out)


def test_cells_that_want_the_same_at_one_time_wait(dataset: Dataset, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=waits, args=(dataset.root, tmp_path)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    assert len(embedded(dataset, Small(), tmp_path)) == len(list(dataset))
    assert Small.calls == 0


@pytest.mark.parametrize("representation", ["mel256", "mel128", "linear"])
def test_openl3_512_is_pooled_from_6144_to_the_bit(representation: str) -> None:
    model = OpenL3.__new__(OpenL3)
    model.input_representation = representation
    model.embedding_size = 512
    model._pool = {"mel256": (32, 24), "mel128": (16, 24), "linear": (32, 24)}[representation]
    height, width = model._pool
    maps = torch.randn(3, 512, height, width, generator=torch.Generator().manual_seed(0))
    model._run = lambda *_: maps
    larger = model.larger()
    assert larger is not None
    nothing = torch.zeros(3, 1, 1)
    wanted = model.embed_spectrograms(nothing).half().numpy()
    found = model.from_larger(larger.embed_spectrograms(nothing).half().numpy())
    assert wanted.shape == (3, 512)
    assert np.array_equal(found, wanted)
    assert larger.larger() is None
