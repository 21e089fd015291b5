"""Fetch datasets in their real layouts from a server on this machine, and open them."""

from __future__ import annotations

import hashlib
import json
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import thrum
from records_server import Server, archive, names_2020, names_by_section, serving
from thrum.bench.tables import load_table
from thrum.datasets import download, records
from thrum.datasets.download import Repository, fetch
from thrum.errors import DatasetError, DownloadError, UnknownNameError

DEV, ADD, EVAL, TRUTH = 3678171, 3727685, 3841772, 3951620  # 2020
LIST = "eval_data_list.csv"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "KNOWN_MD5", {})
    with serving() as server:
        for machine in ("fan", "pump"):
            server.records.setdefault(DEV, {}).update(
                {f"dev_data_{machine}.zip": archive(names_2020(machine, "dev"))}
            )
            server.records.setdefault(ADD, {}).update(
                {f"eval_data_train_{machine}.zip": archive(names_2020(machine, "add"))}
            )
            server.records.setdefault(EVAL, {}).update(
                {f"eval_data_test_{machine}.zip": archive(names_2020(machine, "eval"))}
            )
        server.records[DEV]["readme.md"] = b"words"
        server.records[TRUTH] = {LIST: truth_2020("fan", "pump"), "readme.md": b"words"}
        yield server


def truth_2020(*machines: str) -> bytes:
    """Return the list of 2020: the second evaluation clip of each machine ID is an anomaly."""
    rows = []
    for machine in machines:
        rows.append(machine)
        for name in names_2020(machine, "eval"):
            file = name.rpartition("/")[2]
            rows.append(f"{file},original_{file},{int(file.endswith('1.wav'))}")
    return "\n".join(rows).encode()


def get(server: Server, out: Path, **chosen: list[str]) -> list[download.Fetched]:
    return fetch(Repository(server.url).plan("dcase2020", out, **chosen))


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def clips(out: Path) -> Counter[tuple[str, str, str]]:
    return Counter((c.machine, c.machine_id, c.split) for c in thrum.open_dataset(out))


def test_2020_whole(server: Server, tmp_path: Path) -> None:
    fetched = get(server, tmp_path / "data")
    assert [f.file for f in fetched] == [
        *("dev_data_fan.zip", "dev_data_pump.zip"),
        *("eval_data_train_fan.zip", "eval_data_train_pump.zip"),
        *("eval_data_test_fan.zip", "eval_data_test_pump.zip"),
        LIST,
    ]
    content = server.records[DEV]["dev_data_fan.zip"]
    assert fetched[0].md5 == hashlib.md5(content).hexdigest()
    assert fetched[0].md5_was_published
    assert fetched[0].files == {"fan/train": 6, "fan/test": 4}
    assert clips(tmp_path / "data") == {
        (machine, f"id_0{n}", split): count
        for machine in ("fan", "pump")
        for n in range(4)
        for split, count in (("train", 3), ("test", 2))
    }
    assert not list(tmp_path.rglob("*.zip"))
    assert not [path for path in tmp_path.rglob("*") if "part" in path.name]


def test_the_truth_comes_with_the_evaluation_data_where_the_reader_looks(
    server: Server, tmp_path: Path
) -> None:
    get(server, tmp_path, only=["fan"], parts=["dev", "add", "eval"])
    before = thrum.open_dataset(tmp_path).where(split="test")
    assert [clip.label for clip in before if clip.machine_id == "id_01"] == [None, None]
    assert [f.file for f in get(server, tmp_path, only=["fan"])] == [LIST]
    after = thrum.open_dataset(tmp_path).where(split="test")
    assert [clip.label for clip in after if clip.machine_id == "id_01"] == ["normal", "anomaly"]
    assert Repository(server.url).plan("dcase2020", tmp_path, only=["fan"]).missing == ()
    (tmp_path / "ground_truth" / LIST).unlink()
    plan = Repository(server.url).plan("dcase2020", tmp_path, only=["fan"], parts=["truth"])
    assert plan.records[0].page == f"{server.url}/records/{TRUTH}"
    (again,) = fetch(plan, keep=True)
    assert again.files == {".": 1}
    assert (tmp_path / "ground_truth" / LIST).read_bytes() == server.records[TRUTH][LIST]
    assert (tmp_path / ".fetch" / "dcase2020" / LIST).exists()


def test_a_table_that_wants_the_truth_names_the_command_that_fetches_it(
    server: Server, tmp_path: Path
) -> None:
    source = load_table("multitask-conformer/table3").sources["data"]
    source = replace(source, machines=("fan", "pump"))
    get(server, tmp_path, parts=["dev", "add", "eval"])
    told = source.missing(tmp_path) or ""
    assert f"there is no {tmp_path / 'ground_truth' / LIST}" in told
    _, _, command = told.partition("thrum data fetch ")
    dataset, _, out, *chosen = command.split()
    assert out == str(tmp_path)
    assert chosen == ["--only", "fan,pump,valve,slider"]
    fetch(Repository(server.url).plan(dataset, Path(out), only=["fan", "pump"]))
    assert source.missing(tmp_path) is None
    tested = source.open(tmp_path, tmp_path).where(split="test")
    assert {clip.machine_id for clip in tested} == {"id_01", "id_03"}


def test_a_truth_of_ones_own_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    own = tmp_path / "ground_truth" / LIST
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(DatasetError, match=f"{LIST} is there already and is not what was down"):
        get(server, tmp_path, parts=["truth"])
    assert own.read_text() == "mine"


@pytest.mark.parametrize("name", ["dcase2021", "dcase2022", "dcase2023", "dcase2026"])
def test_later_years(server: Server, tmp_path: Path, name: str) -> None:
    for part in records.PARTS[name]:
        file = part.archive.replace("<machine>", "ToyCar")
        content = archive(names_by_section("ToyCar", part.name))
        server.records[part.record] = {file: content}
    done = fetch(Repository(server.url).plan(name, tmp_path, parts=["dev"]))
    assert done[0].file == ("dev_data_ToyCar.zip" if name == "dcase2021" else "dev_ToyCar.zip")
    fetch(Repository(server.url).plan(name, tmp_path, parts=["add", "eval"]))
    assert clips(tmp_path / "dev_data") == {
        ("ToyCar", "section_00", "train"): 4,
        ("ToyCar", "section_00", "test"): 4,
    }
    assert clips(tmp_path / "eval_data") == {
        ("ToyCar", "section_00", "train"): 4,
        ("ToyCar", "section_00", "test"): 3,
    }


def test_a_corrected_archive_replaces_the_first(server: Server, tmp_path: Path) -> None:
    part = records.PARTS["dcase2024"][1]
    server.records[part.record] = {
        "eval_data_3DPrinter_train_r2.zip": archive(names_by_section("3DPrinter", "add")),
        "eval_data_3DPrinter_train.zip": b"old",
        "eval_data_HairDryer_train.zip": b"x",
    }
    plan = Repository(server.url).plan("dcase2024", tmp_path, parts=["add"])
    assert [a.file for a in plan.missing] == [
        "eval_data_3DPrinter_train_r2.zip",
        "eval_data_HairDryer_train.zip",
    ]


def test_mimii(server: Server, tmp_path: Path) -> None:
    names = [f"fan/id_00/normal/0000000{n}.wav" for n in range(5)]
    names += [f"fan/id_00/abnormal/0000000{n}.wav" for n in range(2)]
    server.records[3384388] = {
        f"{snr}_dB_{machine}.zip": archive(names, channels=8)
        for snr in ("-6", "0", "6")
        for machine in ("fan", "pump")
    }
    plan = Repository(server.url).plan("mimii", tmp_path, only=["fan"], parts=["6_dB", "-6_dB"])
    assert plan.licence == "CC BY-SA 4.0"
    fetch(plan)
    assert clips(tmp_path) == {
        (f"fan_{snr}_dB", "id_00", split): count
        for snr in ("6", "-6")
        for split, count in (("train", 3), ("test", 4))
    }
    assert {clip.channel for clip in thrum.open_dataset(tmp_path)} == {4}


def test_the_plan_tells_licence_and_size_and_fetches_no_file(
    server: Server, tmp_path: Path
) -> None:
    plan = Repository(server.url).plan("dcase2020", tmp_path / "data", only=["fan"])
    sizes = [len(server.records[DEV]["dev_data_fan.zip"])]
    sizes += [len(server.records[ADD]["eval_data_train_fan.zip"])]
    sizes += [len(server.records[EVAL]["eval_data_test_fan.zip"])]
    sizes += [len(server.records[TRUTH][LIST])]
    assert plan.licence == "CC BY-NC-SA 4.0"
    assert plan.download_bytes == sum(sizes)
    assert plan.disk_bytes() == int(1.5 * sum(sizes)) + max(sizes)
    assert plan.disk_bytes(keep=True) == int(1.5 * sum(sizes)) + sum(sizes)
    assert plan.records[0] == download.Record(
        f"{server.url}/records/{DEV}",
        "x-1.0",
        ("This dataset was created by A, Ltd. and B, and is under the X license.",),
    )
    assert server.files_asked() == []
    assert files(tmp_path) == []


def test_broken_off_and_resumed(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 1000
    with pytest.raises(DownloadError, match="run the same command again"):
        get(server, tmp_path, only=["fan"], parts=["dev"])
    assert files(tmp_path) == [".fetch/dcase2020/dev_data_fan.zip.part"]
    plan = Repository(server.url).plan("dcase2020", tmp_path, only=["fan"], parts=["dev"])
    size = len(server.records[DEV]["dev_data_fan.zip"])
    assert (plan.arrived_bytes, plan.download_bytes) == (1000, size - 1000)
    assert plan.disk_bytes() == int(1.5 * size) + size - 1000
    get(server, tmp_path, only=["fan"], parts=["dev"])
    assert server.asked[-1].endswith("dev_data_fan.zip bytes=1000-")
    assert clips(tmp_path)["fan", "id_00", "train"] == 3


def test_what_is_complete_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, parts=["dev"])
    del server.asked[:]
    plan = Repository(server.url).plan("dcase2020", tmp_path, parts=["dev"])
    assert [a.file for a in plan.complete] == ["dev_data_fan.zip", "dev_data_pump.zip"]
    assert fetch(plan) == []
    assert server.files_asked() == []


def test_a_file_that_went_missing_is_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, parts=["dev"])
    lost = tmp_path / "dev_data/pump/test/normal_id_00_00000000.wav"
    lost.unlink()
    assert [f.file for f in get(server, tmp_path, parts=["dev"])] == ["dev_data_pump.zip"]
    assert lost.exists()


def test_killed_while_unpacking(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, temporary: Path, **__: object) -> None:
        (temporary / "fan/train").mkdir(parents=True)
        (temporary / "fan/train/half.wav").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(download, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            get(server, tmp_path, only=["fan"], parts=["dev"])
    assert not (tmp_path / "dev_data").exists()
    get(server, tmp_path, only=["fan"], parts=["dev"])
    assert server.files_asked() == ["dev_data_fan.zip"]
    assert clips(tmp_path)["fan", "id_00", "train"] == 3
    assert files(tmp_path / ".fetch") == ["dcase2020/dev_data_fan.zip.json"]


def test_killed_between_moving_and_noting(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(download.storage, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            get(server, tmp_path, only=["fan"], parts=["dev"])
    get(server, tmp_path, only=["fan"], parts=["dev"])
    assert server.files_asked() == ["dev_data_fan.zip"]
    assert clips(tmp_path)["fan", "id_00", "train"] == 3


def test_kept_archives_and_archives_put_there_by_hand(server: Server, tmp_path: Path) -> None:
    kept = tmp_path / "data/.fetch/dcase2020/dev_data_fan.zip"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(server.records[DEV]["dev_data_fan.zip"])
    (kept.parent / "dev_data_pump.zip").write_text("something else")
    plan = Repository(server.url).plan("dcase2020", tmp_path / "data", parts=["dev"])
    assert len(fetch(plan, keep=True)) == 2
    assert server.files_asked() == ["dev_data_pump.zip"]
    assert kept.read_bytes() == server.records[DEV]["dev_data_fan.zip"]


def test_a_wrong_checksum(server: Server, tmp_path: Path) -> None:
    server.md5s["dev_data_fan.zip"] = "00" * 16
    with pytest.raises(DownloadError, match="came with md5 .*, wanted 0000"):
        get(server, tmp_path, parts=["dev"])
    assert files(tmp_path) == []


def test_a_record_whose_files_changed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "KNOWN_MD5", {DEV: {"dev_data_fan.zip": "11" * 16}})
    with pytest.raises(DownloadError, match="thrum knows it with 1111.*the record has changed"):
        get(server, tmp_path, parts=["dev"])
    server.md5s["dev_data_fan.zip"] = None
    (archive_, _) = Repository(server.url).plan("dcase2020", tmp_path, parts=["dev"]).missing
    assert archive_.md5 == "11" * 16


def test_an_unpublished_checksum_is_recorded_and_held_to(server: Server, tmp_path: Path) -> None:
    server.md5s["dev_data_fan.zip"] = None
    (first,) = get(server, tmp_path, only=["fan"], parts=["dev"])
    assert not first.md5_was_published
    state = json.loads((tmp_path / ".fetch/dcase2020/dev_data_fan.zip.json").read_text())
    assert state["md5"] == hashlib.md5(server.records[DEV]["dev_data_fan.zip"]).hexdigest()
    (tmp_path / "dev_data/fan/test/normal_id_00_00000000.wav").unlink()
    server.records[DEV]["dev_data_fan.zip"] = archive(names_2020("fan", "dev")[::-1])
    with pytest.raises(DownloadError, match=f"wanted {first.md5}"):
        get(server, tmp_path, only=["fan"], parts=["dev"])


def test_a_damaged_archive_is_removed(server: Server, tmp_path: Path) -> None:
    server.records[DEV]["dev_data_fan.zip"] = archive(names_2020("fan", "dev"))[:-50]
    with pytest.raises(DatasetError, match="is damaged .*removed, run the same command again"):
        get(server, tmp_path, parts=["dev"])
    assert files(tmp_path) == []


def test_not_found(server: Server, tmp_path: Path) -> None:
    plan = Repository(server.url).plan("dcase2020", tmp_path, parts=["dev"])
    del server.records[DEV]["dev_data_fan.zip"]
    with pytest.raises(DownloadError, match="dev_data_fan.zip: the server answered 404"):
        fetch(plan)
    assert files(tmp_path) == []


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(DownloadError, match=rf"{url}/api/records/{DEV} cannot be reached"):
        Repository(url).plan("dcase2020", tmp_path)
    assert files(tmp_path) == []


def test_too_small_a_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.sizes["dev_data_fan.zip"] = 10**10
    monkeypatch.setattr(download, "free_bytes", lambda folder: 24 * 10**9)
    with pytest.raises(DatasetError, match=r"needs about 25.0 GB .*, and 24.0 GB are free"):
        get(server, tmp_path, only=["fan"], parts=["dev"])
    assert server.files_asked() == []


def test_another_dataset_is_not_mixed_in(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, only=["fan"], parts=["dev"])
    with pytest.raises(DatasetError, match="holds dcase2020, and dcase2022 would be mixed"):
        Repository(server.url).plan("dcase2022", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"words", "lists no file called dev_data_<machine>.zip"), (None, "otherwise than thrum")],
)
def test_a_record_of_something_else(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    server.records[DEV] = {"readme.md": b"words"}
    if content is None:
        monkeypatch.setattr(server, "listing", lambda number: ["words"])
    with pytest.raises(DownloadError, match=message):
        get(server, tmp_path, parts=["dev"])


@pytest.mark.parametrize(
    ("dataset", "chosen", "message"),
    [
        ("dcase2019", {}, "no dataset is called 'dcase2019'. Did you mean"),
        (
            "dcase2020",
            {"parts": ["deb"]},
            "no part of dcase2020 is called 'deb'. Did you mean 'dev'",
        ),
        (
            "dcase2020",
            {"only": ["Fan"]},
            "no machine in dcase2020 is called 'Fan'. Did you mean 'fan'",
        ),
    ],
)
def test_unknown_names(
    server: Server, tmp_path: Path, dataset: str, chosen: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UnknownNameError, match=message):
        Repository(server.url).plan(dataset, tmp_path, **chosen)


def test_the_table_of_known_checksums_names_archives_of_its_parts() -> None:
    parts = {part.record: part for of_one in records.PARTS.values() for part in of_one}
    known = [(record, file) for record, of_one in records.KNOWN_MD5.items() for file in of_one]
    assert len(known) == 39
    assert all(parts[record].machine(file) for record, file in known)


@pytest.mark.parametrize(
    ("dataset", "file", "found"),
    [
        ("dcase2020", "eval_data_test_ToyCar.zip", [("eval", ("ToyCar", 1))]),
        ("dcase2022", "dev_fan.zip", [("dev", ("fan", 1))]),
        ("dcase2026", "dev_ToyCar_r2.zip", [("dev", ("ToyCar", 2))]),
        ("dcase2024", "eval_data_3DPrinter_train_r2.zip", [("add", ("3DPrinter", 2))]),
        ("mimii", "-6_dB_fan.zip", [("-6_dB", ("fan", 1))]),
        ("mimii", "6_dB_fan.zip", [("6_dB", ("fan", 1))]),
        ("mimii", "6_dB_../x.zip", []),
        ("dcase2020", "eval_data_list.csv", [("truth", ("", 1))]),
    ],
)
def test_names_of_archives(
    dataset: str, file: str, found: list[tuple[str, tuple[str, int]]]
) -> None:
    matches = [(part.name, part.machine(file)) for part in records.PARTS[dataset]]
    assert [match for match in matches if match[1] is not None] == found


def test_progress_is_told_by_archive_in_mb_and_files(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    plan = Repository(server.url).plan("dcase2020", tmp_path, only=["fan"], parts=["dev"])
    fetch(plan, progress=lambda *step: told.append(step))
    assert told == [
        ("dev_data_fan.zip, MB", 1, 1),
        *(("dev_data_fan.zip, files", done, 10) for done in range(1, 11)),
    ]
