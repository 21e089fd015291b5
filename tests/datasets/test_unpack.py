"""Archives: what they may hold, and that nothing of a bad one is seen."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from records_server import archive, recording
from thrum.datasets import unpack as unpacking
from thrum.datasets.unpack import DamagedArchiveError, count_files, unpack
from thrum.errors import DatasetError

NAMES = ("fan/train/normal_id_00_00000000.wav", "fan/test/anomaly_id_00_00000000.wav")


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "dev_data_fan.zip"
    path.write_bytes(content)
    return path


def unpacked(path: Path, tmp_path: Path) -> dict[str, int]:
    return unpack(path, tmp_path / "dev_data", machine="fan", temporary=tmp_path / "unpacking")


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_folder_of_the_machine_and_nothing_else(tmp_path: Path) -> None:
    extra = {
        "fan/attributes_00.csv": "file_name,d1p,d1v\n",
        "readme.md": "words",
        "__MACOSX/fan/train/._normal_id_00_00000000.wav": "rubbish",
        "fan/train/.DS_Store": "rubbish",
    }
    path = written(tmp_path, archive(NAMES, extra=extra))
    assert unpacked(path, tmp_path) == {"fan/train": 1, "fan/test": 1, "fan": 1}
    assert files(tmp_path / "dev_data") == sorted([*NAMES, "fan/attributes_00.csv"])
    assert (tmp_path / "dev_data" / NAMES[0]).read_bytes() == recording()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dev_data", "dev_data_fan.zip"]


def test_folders_around_the_machine_are_dropped(tmp_path: Path) -> None:
    path = written(tmp_path, archive([f"dev_data/{name}" for name in NAMES]))
    unpacked(path, tmp_path)
    assert files(tmp_path / "dev_data") == sorted(NAMES)


def test_a_second_archive_of_the_machine_is_added(tmp_path: Path) -> None:
    unpacked(written(tmp_path, archive(NAMES[:1])), tmp_path)
    unpacked(written(tmp_path, archive(NAMES)), tmp_path)
    assert files(tmp_path / "dev_data") == sorted(NAMES)
    assert count_files(tmp_path / "dev_data/fan/test") == 1


def test_another_file_of_the_same_name_stays_and_nothing_is_added(tmp_path: Path) -> None:
    mine = tmp_path / "dev_data" / NAMES[0]
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(DatasetError, match="normal_id_00_00000000.wav is there already"):
        unpacked(written(tmp_path, archive(NAMES)), tmp_path)
    assert files(tmp_path / "dev_data") == [NAMES[0]]
    assert mine.read_text() == "mine"
    assert not (tmp_path / "unpacking").exists()


@pytest.mark.parametrize(
    "name", ["../fan/a.wav", "/fan/a.wav", "fan/../../a.wav", "fan\\..\\a.wav", "C:/fan/a.wav"]
)
def test_a_place_outside(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, archive([*NAMES, name]))
    with pytest.raises(DamagedArchiveError, match="names a place outside"):
        unpacked(path, tmp_path)
    assert files(tmp_path) == ["dev_data_fan.zip"]


def test_a_link(tmp_path: Path) -> None:
    path = written(tmp_path, archive(NAMES))
    link = zipfile.ZipInfo("fan/train/link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(link, "/etc/passwd")
    with pytest.raises(DamagedArchiveError, match="holds a link or device, 'fan/train/link.wav'"):
        unpacked(path, tmp_path)
    assert files(tmp_path) == ["dev_data_fan.zip"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["pump/train/a.wav"],
            "holds 'pump/train/a.wav', wanted recordings in a folder 'fan' only",
        ),
        ([], "holds no folder 'fan'"),
        (["fan/a.wav", "x/fan/a.wav"], "holds fan/a.wav twice"),
    ],
)
def test_another_layout(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DamagedArchiveError, match=message):
        unpacked(written(tmp_path, archive(names)), tmp_path)
    assert files(tmp_path) == ["dev_data_fan.zip"]


@pytest.mark.parametrize("damage", ["cut short", "a byte", "no zip"])
def test_damage(tmp_path: Path, damage: str) -> None:
    content = bytearray(archive(NAMES))
    if damage == "a byte":
        content[len(content) // 3] ^= 0xFF
    path = written(
        tmp_path,
        {"cut short": bytes(content[:-60]), "a byte": bytes(content), "no zip": b"<html>"}[damage],
    )
    with pytest.raises(DamagedArchiveError, match="dev_data_fan.zip is damaged"):
        unpacked(path, tmp_path)
    assert files(tmp_path) == ["dev_data_fan.zip"]
    assert not (tmp_path / "unpacking").exists()


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, archive(NAMES))
    monkeypatch.setattr(unpacking, "free_bytes", lambda folder: 2 * len(recording()) - 1)
    with pytest.raises(DatasetError, match="GB are free on the disk"):
        unpacked(path, tmp_path)
    monkeypatch.setattr(unpacking, "free_bytes", lambda folder: 2 * len(recording()))
    assert unpacked(path, tmp_path) == {"fan/train": 1, "fan/test": 1}


def test_the_disk_fills_up_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_before: list[object] = []

    def copy(source: object, target: object, length: int) -> None:
        written_before.append(source)
        if len(written_before) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking.shutil, "copyfileobj", copy)
    with pytest.raises(DatasetError, match="No space left on device; free some space"):
        unpacked(written(tmp_path, archive(NAMES)), tmp_path)
    assert files(tmp_path) == ["dev_data_fan.zip"]
