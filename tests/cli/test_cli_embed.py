"""``thrum embed``: what a person sees, and what is done again."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from thrum import audio
from thrum.cli.embed import embed
from thrum.embedders import EmbeddingStore, create_embedder
from thrum.errors import AudioError, UsageError, WeightsError

app = typer.Typer()
app.command()(embed)


def make_sounds(folder: Path, *, rates: tuple[int, ...] = (16000,)) -> Path:
    rng = np.random.default_rng(0)
    for index in range(6):
        rate = rates[index % len(rates)]
        sound = rng.uniform(-0.5, 0.5, rate).astype(np.float32)
        audio.write(folder / f"fan/normal/{index}.wav", sound, rate)
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    if result.exception:
        raise result.exception
    return result.stdout


def test_embeds_once_and_says_what_the_embeddings_are(tmp_path: Path) -> None:
    data = make_sounds(tmp_path / "data")
    arguments = ("--embedder", "logmel", "--data", data, "--out", tmp_path / "out")
    first = run(*arguments)
    assert "6 clips embedded, 0 were there already" in first
    assert "attackers read off them 100 % of a clip's mean spectrum" in first
    again = json.loads(run(*arguments, "--json"))
    assert (again["embedded"], again["already_there"], again["embedding_size"]) == (0, 6, 128)


def test_any_rate_is_read(tmp_path: Path) -> None:
    data = make_sounds(tmp_path / "data", rates=(8000, 44100, 96000))
    run("--embedder", "logmel", "--data", data, "--out", tmp_path / "out", "--dtype", "float32")
    store = EmbeddingStore(tmp_path / "out", dtype="float32")
    assert {entry.frames for shard in store.shards() for entry in shard.entries} == {32}


def test_a_broken_recording_is_named(tmp_path: Path) -> None:
    data = make_sounds(tmp_path / "data")
    (data / "fan/normal/3.wav").write_bytes((data / "fan/normal/3.wav").read_bytes()[:1000])
    with pytest.raises(AudioError, match=r"3\.wav is cut short"):
        run("--embedder", "logmel", "--data", data, "--out", tmp_path / "out")


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRUM_CACHE", str(tmp_path))
    data = make_sounds(tmp_path / "data")
    with pytest.raises(WeightsError, match="thrum weights fetch yamnet"):
        run("--embedder", "yamnet", "--data", data, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float16 or float32, got 'int8'"):
        run("--embedder", "logmel", "--data", tmp_path, "--out", tmp_path, "--dtype", "int8")


def test_the_stored_numbers_are_the_embedders(tmp_path: Path) -> None:
    import torch

    from thrum.datasets import open_dataset

    data = make_sounds(tmp_path / "data")
    run("--embedder", "logmel", "--data", data, "--out", tmp_path / "out")
    store = EmbeddingStore(tmp_path / "out")
    clip = open_dataset(data).clips[0]
    samples = torch.from_numpy(audio.read_clip(clip, sample_rate=16000))[None]
    expected = create_embedder("logmel").frames(samples)[0][0].half().numpy()
    np.testing.assert_array_equal(store.frames(clip), expected)
