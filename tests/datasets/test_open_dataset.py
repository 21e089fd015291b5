"""What ``open_dataset`` says where there is nothing to open."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import thrum
from thrum.datasets import open_dataset
from thrum.errors import DatasetError, UnknownNameError
from thrum.types import Clip, Dataset


def test_it_is_a_verb_of_the_package() -> None:
    assert thrum.open_dataset is open_dataset


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder at .*gone"):
        open_dataset(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"no folder at .*file"):
        open_dataset(tmp_path / "file")


@pytest.mark.parametrize("folders", [[], ["fan"], ["fan/somewhere/deep/inside"], ["dev_data/raw"]])
def test_nothing_where_it_is_looked_for(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(
        DatasetError,
        match=r"\(it holds no files\)\. The simplest layout is one sub-folder a machine",
    ):
        open_dataset(tmp_path)


def test_a_folder_of_other_things_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "fan").mkdir()
    for name in ("a.doc", "b.DOC", "c.mid", "notes"):
        (tmp_path / "fan" / name).write_bytes(b"x")
    with pytest.raises(
        DatasetError, match=r"it holds files, 2 of \.doc, 1 of \.mid, 1 of no suffix"
    ):
        open_dataset(tmp_path)


def test_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'dcase'"):
        open_dataset(tmp_path, layout="dcas")


def test_a_layout_that_is_asked_for_is_used(tree) -> None:
    root = tree(["fan/train/normal_id_00_0.wav"])
    assert open_dataset(root).machine_keys == (("fan", "id_00"),)
    assert [clip.name for clip in open_dataset(root, layout="folder")] == [
        "train/normal_id_00_0.wav"
    ]


class Flat:
    """Somebody's own layout: all recordings of one machine in one folder."""

    @staticmethod
    def read(root: Path) -> Dataset:
        clips = (Clip(path, "mill", "id_00", "train") for path in sorted(root.glob("*.wav")))
        return Dataset(tuple(clips), "flat", root)


def test_a_layout_of_ones_own(tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "their.module", SimpleNamespace(Flat=Flat))
    dataset = open_dataset(tree(["a.wav", "b.wav"]), layout="their.module:Flat")
    assert dataset.machine_keys == (("mill", "id_00"),)
    assert len(dataset) == 2


def test_a_name_and_a_path_with_spaces_and_other_alphabets(tree) -> None:
    root = tree(["Pumpe Süd/normal/früh 1.wav"], below="Aufnahmen März")
    (clip,) = open_dataset(str(root))
    assert (clip.machine, clip.name) == ("Pumpe Süd", "normal/früh 1.wav")
