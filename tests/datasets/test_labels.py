"""Any layout, by a table or by patterns of names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from thrum.datasets import open_dataset
from thrum.errors import DatasetError, UsageError

FILES = ["rig/2026/a.wav", "rig/2026/b.wav", "rig/2027/c.wav", "mill/d.wav", "mill/e.wav", "f.wav"]


def table(root: Path, text: str, *, encoding: str = "utf-8", name: str = "labels.csv") -> Path:
    (root / name).write_text(text, encoding=encoding)
    return root / name


def described(dataset) -> dict[str, tuple]:
    return {
        clip.name: (clip.machine, clip.machine_id, clip.split, clip.label, clip.domain)
        for clip in dataset
    }


FULL = """file,machine,id,split,label,domain,attributes,load
rig/2026/a.wav,rig,no 1,train,normal,source,speed=28V;mic=2,low
rig/2026/b.wav,rig,no 1,test,anomaly,target,,high
rig/2027/c.wav,rig,no 2,train,normal,,,
mill/d.wav,mill,id_00,train,normal,,,
f.wav,mill,id_00,test,,,,
"""


def test_every_column(tree) -> None:
    root = tree(FILES)
    dataset = open_dataset(root, labels=table(root, FULL))
    assert described(dataset) == {
        "rig/2026/a.wav": ("rig", "no 1", "train", "normal", "source"),
        "rig/2026/b.wav": ("rig", "no 1", "test", "anomaly", "target"),
        "rig/2027/c.wav": ("rig", "no 2", "train", "normal", None),
        "mill/d.wav": ("mill", "id_00", "train", "normal", None),
        "f.wav": ("mill", "id_00", "test", None, None),
    }
    attributes = {clip.name: dict(clip.attributes) for clip in dataset}
    assert attributes["rig/2026/a.wav"] == {"speed": "28V", "mic": "2", "load": "low"}
    assert attributes["mill/d.wav"] == {}
    assert {(path.name, reason) for path, reason in dataset.left_out} == {
        ("e.wav", "not in labels.csv"),
        ("labels.csv", "no sound file"),
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_as_programs_write_them(tree, encoding: str, delimiter: str, newline: str) -> None:
    root = tree([f"Mühle/{number}.wav" for number in range(5)])
    rows = [["Label", "Datei", "Bemerkung"]]
    rows += [["i.O.", f"Mühle\\{number}.wav", "süß"] for number in range(4)]
    rows += [["defekt", r".\Mühle\4.wav", ""]]
    text = newline.join(delimiter.join(row) for row in rows) + newline * 2
    path = root / "labels.csv"
    path.write_bytes(text.encode(encoding))
    found = described(open_dataset(root, labels=path))
    assert found["Mühle/0.wav"] == ("Mühle", "id_00", "train", "normal", None)
    assert found["Mühle/3.wav"][2:4] == ("test", "normal")  # held out
    assert found["Mühle/4.wav"][2:4] == ("test", "anomaly")


def test_files_by_name_alone_by_full_path_and_in_another_spelling(tree) -> None:
    root = tree(["rig/a/Gerät.wav", "rig/b.wav", "rig/c.wav"])
    decomposed = unicodedata.normalize("NFD", "Gerät.wav")
    text = f"path,class\n{decomposed},0\n{root}/rig/b.wav,0\nrig/c.wav,1\n"
    found = described(open_dataset(root, labels=table(root.parent, text)))
    assert {name: row[3] for name, row in found.items()} == {
        "rig/a/Gerät.wav": "normal",
        "rig/b.wav": "normal",
        "rig/c.wav": "anomaly",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: wanted a table with the columns file and label"),
        ("name,label\na.wav,ok\n", "has the columns name, label: wanted"),
        ("file,machine\nf.wav,mill\n", "has the columns file, machine: wanted"),
        ("file,label,class\nf.wav,ok,ok\n", "two columns for label"),
        ("file,label\nf.wav,zzz\n", "line 2: the label is 'zzz', wanted normal or anomaly"),
        ("file,label\nf.wav,good and bad\n", "line 2: the label is 'good and bad'"),
        ("file,label\nf.wav,ok\nf.wav,ok\n", "line 3: .*f.wav is there twice"),
        (
            "file,label\nf.wav,ok,\ngone.wav,ok\nx.wav,ok\n",
            "names 2 files that are not there, first gone",
        ),
        ("file,label\nf.wav,ok,ng\n", "line 2: 3 cells under 2 columns"),
        ("file,label\n,ok\n", "line 2 names no file"),
        ("file,label,split\nf.wav,ng,train\n", "for training and an anomaly"),
        ("file,label,split\nf.wav,,train\n", "for training and without a label"),
        ("file,label,split\nf.wav,ok,maybe\n", "the split is 'maybe', wanted train or test"),
        ("file,label,domain\nf.wav,ok,outer\n", "the domain is 'outer'"),
        ("file,label,channel\nf.wav,ok,left\n", "the channel is 'left'"),
        ("file,label,attributes\nf.wav,ok,fast\n", "the attributes are 'fast', wanted name=value"),
    ],
)
def test_tables_that_are_not_understood(tree, text: str, said: str) -> None:
    root = tree(FILES)
    with pytest.raises(DatasetError, match=said):
        open_dataset(root, labels=table(root, text))


def test_a_name_that_two_files_have(tree) -> None:
    root = tree(["rig/a.wav", "mill/a.wav"])
    with pytest.raises(DatasetError, match="2 files are called a.wav.*say which"):
        open_dataset(root, labels=table(root, "file,label\na.wav,ok\n"))


def test_a_channel_of_each_file(tree) -> None:
    root = tree(["rig/a.wav"], channels=3)
    (clip,) = open_dataset(root, labels=table(root, "file,label,channel\nrig/a.wav,ok,2\n"))
    assert clip.channel == 2


def test_patterns(tree) -> None:
    names = [f"pump/state_1/{number}.wav" for number in range(6)]
    root = tree([*names, "pump/state_2/x/1.wav", "pump/state_3/1.wav", "pump/other/1.wav"])
    dataset = open_dataset(root, normal=["pump/state_1/*"], anomaly=["*/state_2/*", "*/state_3/*"])
    found = described(dataset)
    assert {row[:2] for row in found.values()} == {("pump", "id_00")}
    assert found["pump/state_1/0.wav"][2:4] == ("train", "normal")
    assert found["pump/state_1/5.wav"][2:4] == ("test", "normal")
    assert found["pump/state_2/x/1.wav"][2:4] == ("test", "anomaly")
    assert [path.name for path, _ in dataset.left_out] == ["1.wav"]


def test_patterns_with_individuals_and_splits(tree) -> None:
    names = [
        "press/hall 1/a/1.wav",
        "press/hall 1/b/1.wav",
        "press/hall 2/a/1.wav",
        "fan/train/a/1.wav",
    ]
    root = tree([*names, "fan/test/a/1.wav"])
    found = described(open_dataset(root, normal=["*/a/*"], anomaly=["*/b/*"]))
    assert {name: row[:4] for name, row in found.items()} == {
        "press/hall 1/a/1.wav": ("press", "hall 1", "train", "normal"),
        "press/hall 1/b/1.wav": ("press", "hall 1", "test", "anomaly"),
        "press/hall 2/a/1.wav": ("press", "hall 2", "train", "normal"),
        "fan/train/a/1.wav": ("fan", "id_00", "train", "normal"),
        "fan/test/a/1.wav": ("fan", "id_00", "test", "normal"),
    }


def test_patterns_with_labels_and_splits_above_the_machines(tree) -> None:
    root = tree(["train/fan/1.wav", "test/fan/ok/1.wav", "test/fan/ng/1.wav", "bad/pump/2.wav"])
    patterns = {"normal": ["train/*", "test/*/ok/*"], "anomaly": ["test/*/ng/*", "bad/*"]}
    found = described(open_dataset(root, **patterns))
    assert {name: row[:4] for name, row in found.items()} == {
        "train/fan/1.wav": ("fan", "id_00", "train", "normal"),
        "test/fan/ok/1.wav": ("fan", "id_00", "test", "normal"),
        "test/fan/ng/1.wav": ("fan", "id_00", "test", "anomaly"),
        "bad/pump/2.wav": ("pump", "id_00", "test", "anomaly"),
    }


def test_patterns_that_contradict_or_find_nothing(tree) -> None:
    root = tree(["pump/a.wav", "pump/b.wav"])
    with pytest.raises(DatasetError, match="a.wav matches pump/[*] and [*]a.wav: is it normal"):
        open_dataset(root, normal=["pump/*"], anomaly=["*a.wav"])
    with pytest.raises(DatasetError, match="no recording under .* matches 'fan/[*]'"):
        open_dataset(root, normal=["fan/*"])


def test_only_one_way_to_say_it(tree) -> None:
    root = tree(["pump/a.wav"])
    with pytest.raises(UsageError, match="say one of --layout, --labels"):
        open_dataset(root, normal=["*"], labels=root / "labels.csv")


def test_one_long_recording_is_held_out_by_time(tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    for name, seconds in (("normal/hour.wav", 90), ("anomaly/minute.wav", 31)):
        path = tmp_path / "press" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(seconds * 100, 0.1), 100)
    clips = open_dataset(tmp_path).clips
    held = [clip.name for clip in clips if (clip.split, clip.label) == ("test", "normal")]
    assert held == [f"normal/hour.wav#t={start},{start + 10}" for start in (60, 70, 80)]
    assert sum(clip.label == "anomaly" for clip in clips) == 4
