"""``thrum weights``: what a person sees."""

import json
from pathlib import Path

import h5py
import pytest
from typer.testing import CliRunner

from thrum.cli.weights import app
from thrum.embedders import EMBEDDERS, create_embedder
from thrum.embedders.checkpoints import CHECKPOINTS
from thrum.errors import UnknownNameError, UsageError, WeightsError


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code
    return result.stdout


def test_list_names_every_checkpoint_and_says_what_is_not_known(tmp_path: Path) -> None:
    rows = json.loads(run("list", "--json", "--cache", tmp_path))
    assert [row["name"] for row in rows] == list(CHECKPOINTS)
    assert not any(row["stored"] for row in rows)
    text = run("list", "--cache", tmp_path)
    assert "yamnet: not stored, Apache-2.0, size unknown" in text
    assert "sha256 unknown" in text
    assert "efficientat_mn04: not stored, MIT, 4.1 MB" in text


def test_list_names_the_embedder_of_a_checkpoint(tmp_path: Path) -> None:
    rows = json.loads(run("list", "--json", "--cache", tmp_path))
    named = [name for row in rows for name in row["embedders"]]
    assert sorted([*named, "logmel", "modulation", "precomputed"]) == sorted(EMBEDDERS)
    text = run("list", "--cache", tmp_path)
    assert text.count("--embedder") == len([row for row in rows if row["embedders"]]) + 1
    assert "    --embedder openl3 or openl3_6144\n" in text
    assert "no weights to fetch: --embedder logmel or modulation\n" in text


def test_an_embedder_wants_the_checkpoint_that_is_listed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THRUM_CACHE", str(tmp_path))
    for checkpoint in CHECKPOINTS.values():
        for name in checkpoint.embedders:
            with pytest.raises(WeightsError, match=f"the weights {checkpoint.name!r} are not in"):
                create_embedder(name)


@pytest.mark.weights
def test_fetch_from_a_file_then_list_and_check(tmp_path: Path, shared: Path) -> None:
    original = shared / "weights/efficientat/mn04_as_mAP_432.pt"
    said = run("fetch", "efficientat_mn04", "--from", original, "--cache", tmp_path)
    assert "this is the published file" in said
    rows = json.loads(run("list", "--json", "--cache", tmp_path))
    assert [row["name"] for row in rows if row["stored"]] == ["efficientat_mn04"]
    assert run("check", "--cache", tmp_path) == "efficientat_mn04: good\n"
    stored = tmp_path / "weights/efficientat_mn04.safetensors"
    stored.write_bytes(stored.read_bytes()[:-1])
    assert "damaged" in run("check", "--cache", tmp_path, code=1)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["layer_names"] = []
    with pytest.raises(WeightsError, match="has 0 layers with weights, 55 were wanted"):
        run("fetch", "yamnet", "--from", tmp_path / "x.h5", "--cache", tmp_path)
    assert not (tmp_path / "weights").exists()


def test_a_checkpoint_without_an_address_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="by hand from https://github.com/microsoft/unilm"):
        run("fetch", "beats", "--cache", tmp_path)


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'yamnet'"):
        run("fetch", "yamnett", "--cache", tmp_path)


def test_nothing_to_check_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights are stored"):
        run("check", "--cache", tmp_path)
