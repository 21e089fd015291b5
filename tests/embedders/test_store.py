"""The store: what goes in comes out, nothing is done twice, nothing is half written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from thrum import audio
from thrum.embedders import Embedder, EmbeddingStore, embed_into
from thrum.embedders.logmel import LogMel
from thrum.embedders.store import CLIPS_PER_SHARD
from thrum.errors import AudioError, DataError, StorageError
from thrum.types import Clip


class Counting(Embedder):
    """One frame a second: its mean times a gain. Counts its clips and its largest batch."""

    embedding_size = 2
    hop_seconds = 1.0
    stack_frames = 1
    stack_hop = 1

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain
        self.clips = 0
        self.largest_batch = 0

    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        self.clips += len(audio)
        self.largest_batch = max(self.largest_batch, len(audio))
        means = audio.unfold(1, 16000, 16000).mean(-1) * self.gain  # (B, T)
        embeddings = torch.stack([means, -means], dim=-1)  # (B, T, 2)
        return embeddings, self._times(embeddings, first_seconds=0.5)

    @property
    def settings(self) -> dict[str, object]:
        return {**super().settings, "gain": self.gain}


def make_clips(folder: Path, count: int, *, seconds: int = 2) -> list[Clip]:
    clips = []
    for index in range(count):
        path = folder / f"{index:03d}.wav"
        level = (index + 1) / 256
        audio.write(path, np.full((seconds + index % 2) * 16000, level, np.float32), 16000)
        clips.append(Clip(path, "fan", "id_00", "train", label="normal"))
    return clips


def expected(index: int) -> np.ndarray:
    level = np.float16((index + 1) / 256)
    return np.full((2 + index % 2, 2), level) * np.array([1, -1], np.float16)


def test_frames_come_back_in_any_order_from_a_store_opened_again(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", 2 * CLIPS_PER_SHARD + 1)
    embedder = Counting()
    store = EmbeddingStore(tmp_path / "store")
    assert embed_into(store, clips, embedder, batch_size=5) == len(clips)
    assert embedder.largest_batch == 5
    again = EmbeddingStore(tmp_path / "store")
    assert [len(shard.entries) for shard in again.shards()] == [16, 16, 1]
    assert len(again) == len(clips)
    assert again.embedding_size == 2
    for index in reversed(range(len(clips))):
        frames = again.frames(clips[index])
        assert frames.dtype == np.float16
        np.testing.assert_array_equal(frames, expected(index))


def test_shards_hold_all_frames_and_say_whose_they_are(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", 3)
    store = EmbeddingStore(tmp_path / "store")
    embed_into(store, clips, Counting())
    (shard,) = store.shards()
    assert shard.rows().shape == (2 + 3 + 2, 2)
    assert [(entry.name, entry.offset, entry.frames) for entry in shard.entries] == [
        ("000.wav", 0, 2),
        ("001.wav", 2, 3),
        ("002.wav", 5, 2),
    ]
    assert shard.settings == {"class": "Counting", "gain": 1.0, "dtype": "float16"}


def test_only_what_is_missing_or_changed_is_embedded(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", 5)
    store = EmbeddingStore(tmp_path / "store")
    embed_into(store, clips[:3], Counting())
    second = Counting()
    assert embed_into(store, clips, second) == 2
    assert second.clips == 2

    audio.write(clips[1].path, np.full(48000, 0.5, np.float32), 16000)
    third = Counting()
    assert embed_into(store, clips, third) == 1
    np.testing.assert_array_equal(store.frames(clips[1])[0], [0.5, -0.5])
    np.testing.assert_array_equal(store.frames(clips[0]), expected(0))
    np.testing.assert_array_equal(store.frames(clips[2]), expected(2))
    keys = [entry.key for shard in store.shards() for entry in shard.entries]
    assert sorted(keys) == sorted({str(clip.path) for clip in clips})


def test_other_settings_replace_everything(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", 4)
    store = EmbeddingStore(tmp_path / "store")
    embed_into(store, clips, Counting())
    assert embed_into(store, clips[:1], Counting(gain=2.0)) == 1
    np.testing.assert_array_equal(store.frames(clips[0]), 2 * expected(0))
    assert clips[1] not in store
    assert len(list((tmp_path / "store").glob("*.npy"))) == 1


def test_a_clip_named_twice_is_embedded_once(tmp_path: Path) -> None:
    (clip,) = make_clips(tmp_path / "audio", 1)
    embedder = Counting()
    assert embed_into(EmbeddingStore(tmp_path / "store"), [clip, clip], embedder) == 1
    assert embedder.clips == 1


def test_progress_counts_what_was_there(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", 20)
    store = EmbeddingStore(tmp_path / "store")
    embed_into(store, clips[:2], Counting())
    told: list[tuple[str, int, int]] = []
    embed_into(store, clips, Counting(), progress=lambda *step: told.append(step))
    assert told == [("embed", 2, 20), ("embed", 18, 20), ("embed", 20, 20)]


@pytest.mark.parametrize(
    ("gain", "message"), [(1e9, "store float32"), (float("nan"), "is the recording sound")]
)
def test_values_beyond_float16_name_the_clip(tmp_path: Path, gain: float, message: str) -> None:
    (clip,) = make_clips(tmp_path / "audio", 1)
    store = EmbeddingStore(tmp_path / "store")
    with pytest.raises(DataError, match=f"000.wav.*{message}"):
        embed_into(store, [clip], Counting(gain=gain))
    assert len(store) == 0
    assert list((tmp_path / "store").glob("*.npy")) == []


def test_float32_keeps_every_digit(tmp_path: Path) -> None:
    (clip,) = make_clips(tmp_path / "audio", 1)
    store = EmbeddingStore(tmp_path / "store", dtype="float32")
    embed_into(store, [clip], LogMel())
    samples = torch.from_numpy(audio.read_clip(clip, sample_rate=16000))[None]
    np.testing.assert_array_equal(store.frames(clip), LogMel().frames(samples)[0][0].numpy())


def test_an_unreadable_clip_is_named_and_the_shards_before_it_stay(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", CLIPS_PER_SHARD + 2)
    clips[-1].path.write_text("this is no sound")
    store = EmbeddingStore(tmp_path / "store")
    with pytest.raises(AudioError, match=clips[-1].name):
        embed_into(store, clips, Counting())
    assert len(EmbeddingStore(tmp_path / "store")) == CLIPS_PER_SHARD


def test_missing_embedding_and_missing_file_are_named(tmp_path: Path) -> None:
    (clip,) = make_clips(tmp_path / "audio", 1)
    store = EmbeddingStore(tmp_path / "store")
    with pytest.raises(StorageError, match=r"no embedding of .*000\.wav"):
        store.frames(clip)
    embed_into(store, [clip], Counting())
    clip.path.unlink()
    with pytest.raises(DataError, match=r"no file at .*000\.wav"):
        embed_into(store, [clip], Counting())


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store")
    with (
        store.lock(),
        pytest.raises(StorageError, match="another process"),
        EmbeddingStore(tmp_path / "store").lock(),
    ):
        pass
    with store.lock():
        pass


def test_a_foreign_or_damaged_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "00000.json").write_text("{}")
    with pytest.raises(StorageError, match="no list of embedded clips"):
        EmbeddingStore(tmp_path)
    (tmp_path / "00000.json").write_text('{"schema": 99}')
    with pytest.raises(StorageError, match="schema 99"):
        EmbeddingStore(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from thrum.embedders import EmbeddingStore, embed_into
from thrum.embedders.logmel import LogMel
from thrum.types import Clip

def progress(stage, done, total):
    if done >= 32:
        os.kill(os.getpid(), signal.SIGKILL)

paths = sorted(Path(sys.argv[1]).iterdir())
clips = [Clip(path, "fan", "id_00", "train", label="normal") for path in paths]
embed_into(EmbeddingStore(sys.argv[2]), clips, LogMel(), progress=progress)
"""


def test_killed_and_started_again_it_goes_on(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "audio", 3 * CLIPS_PER_SHARD)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "audio"), str(tmp_path / "store")]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL
    (tmp_path / "store/00002.npy").write_bytes(b"half a shard")
    store = EmbeddingStore(tmp_path / "store")
    assert len(store) == 2 * CLIPS_PER_SHARD
    assert embed_into(store, clips, LogMel()) == CLIPS_PER_SHARD
    untouched = EmbeddingStore(tmp_path / "whole")
    embed_into(untouched, clips, LogMel())
    for one, other in zip(store.shards(), untouched.shards(), strict=True):
        assert one.sha256 == other.sha256
