"""The ledger as evidence, and the right to leave."""

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from typer.testing import CliRunner

from thrum.cli.main import app
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import DataError, StorageError
from thrum.federation.evidence import KEY_FILE, export, read_lines, sign, verify
from thrum.federation.inprocess import simulate
from thrum.federation.ledger import Ledger
from thrum.federation.withdrawal import withdraw
from thrum.systems.embedding_sharing import preset_config

RUN = CliRunner()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two rounds, each signed at its end, and one line more."""
    found = Ledger(tmp_path / "site" / "ledger.jsonl")
    for detail in ("north", "south"):
        for what in ("description", "statistics"):
            found.record(what, detail, clips=3, n_bytes=10, sha256="ab", chain="least:5", budget="")
        sign(found, found.path.with_name(KEY_FILE))
    found.record("description", "later", clips=0, n_bytes=1, sha256="cd")
    return found


def test_a_whole_ledger_is_whole(ledger: Ledger) -> None:
    found = verify(ledger.lines())

    assert (found.lines, found.signed, found.problems) == (7, 6, [])
    assert sign(ledger, ledger.path.with_name(KEY_FILE)) is not None
    assert sign(ledger, ledger.path.with_name(KEY_FILE)) is None  # nothing was added since
    assert verify(ledger.lines(), key=found.key, head=found.head).signed == 8
    assert ledger.path.with_name(KEY_FILE).stat().st_mode & 0o777 == 0o600
    entry = ledger.entries()[2]
    _, public, signature = entry.detail.split()
    message = b"thrum ledger, 1\n" + entry.previous.encode()  # checked by the library itself
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
        bytes.fromhex(signature), message
    )


def test_one_bit_changed_anywhere_is_found(ledger: Ledger) -> None:
    lines = ledger.lines()
    key = verify(lines).key
    for number in range(6):  # of what is signed
        for place in (5, len(lines[number]) // 2, len(lines[number]) - 3):
            changed = bytearray(lines[number])
            changed[place] ^= 1
            found = verify([*lines[:number], bytes(changed), *lines[number + 1 :]], key=key)
            assert found.problems, (number, place)


def test_lines_that_were_removed_moved_or_cut_off_are_found(ledger: Ledger) -> None:
    lines = ledger.lines()
    head = verify(lines).head

    for number in range(6):
        found = verify([*lines[:number], *lines[number + 1 :]])
        assert any("removed or moved" in one for one in found.problems)
    moved = [lines[1], lines[0], *lines[2:]]
    assert any("line 1 (statistics) does not follow" in one for one in verify(moved).problems)
    cut = verify(lines[:3])
    assert cut.problems == []  # nobody can tell, who has noted nothing
    assert "cut off" in verify(lines[:3], head=head).problems[0]


def test_who_signs_anew_with_another_key_is_found(ledger: Ledger, tmp_path: Path) -> None:
    key = verify(ledger.lines()).key
    forged = Ledger(tmp_path / "forged" / "ledger.jsonl")
    forged.record("description", "nothing left", clips=0, n_bytes=1, sha256="")
    sign(forged, tmp_path / "forged" / KEY_FILE)

    assert verify(forged.lines()).problems == []
    assert "another key" in verify(forged.lines(), key=key).problems[0]
    (tmp_path / "forged" / KEY_FILE).write_bytes(b"short")
    forged.record("description", "more", clips=0, n_bytes=1, sha256="")
    with pytest.raises(StorageError, match="is damaged: .* so nothing is signed"):
        sign(forged, tmp_path / "forged" / KEY_FILE)


def test_a_line_longer_than_is_read_at_once_is_chained_whole(ledger: Ledger) -> None:
    ledger.record("description", "x" * 10_000, clips=0, n_bytes=1, sha256="")
    ledger.record("description", "after", clips=0, n_bytes=1, sha256="")

    assert verify(ledger.lines()).problems == []


def test_the_command_says_what_is_wrong_and_ends_with_1(ledger: Ledger, tmp_path: Path) -> None:
    folder, copy = str(ledger.path.parent), tmp_path / "copy.json"
    good = RUN.invoke(app, ["collaborate", "ledger", folder, "--verify"])
    assert good.exit_code == 0
    assert "7 lines follow one another; 6 of them are signed" in good.output
    RUN.invoke(app, ["collaborate", "ledger", folder, "--export", str(copy)])
    assert RUN.invoke(app, ["collaborate", "ledger", str(copy), "--verify"]).exit_code == 0

    content = json.loads(copy.read_text())
    content["ledger"][1] = content["ledger"][1].replace('"clips": 3', '"clips": 2')
    copy.write_text(json.dumps(content))
    bad = RUN.invoke(app, ["collaborate", "ledger", str(copy), "--verify", "--json"])
    assert bad.exit_code == 1
    assert "line 3" in json.loads(bad.output)["problems"][0]
    with pytest.raises(DataError, match="is no exported ledger"):
        copy.write_text("{}")
        read_lines(copy)


@pytest.mark.parametrize("sharing", ["statistics", "embeddings"])
def test_a_site_that_withdraws_leaves_nothing_behind(tmp_path: Path, sharing: str) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for number in range(3):
        arrays = {
            name: (random.normal(size=(8, 4, 6)) * [4, 2, 1, 0.5, 0.2, 0.1]).astype(np.float16)
            for name in ("train_normal", "test_normal", "test_anomaly")
        }
        np.savez(tmp_path / "data" / f"fan_id_{number:02d}.npz", **arrays)
    done = simulate(
        open_dataset(tmp_path / "data"),
        embedder=create_embedder("precomputed"),
        config=preset_config("compact", assignments=("members=2", "epochs=1")),
        folder=tmp_path / "run",
        sharing=sharing,  # type: ignore[arg-type]
    )
    for site in done.sites:  # the round was signed at its end
        found = verify(site.ledger.lines())
        assert not found.problems
        assert found.signed == found.lines
    server = tmp_path / "run" / "server"
    before = {path.name for path in server.rglob("*")}
    assert "fan_id_01" in before

    left = withdraw(server, "fan_id_01")

    assert left.n_bytes > 0
    assert (left.pieces > 0, left.statistics) == (sharing == "embeddings", sharing == "statistics")
    assert left.classifiers == (("all",) if sharing == "embeddings" else ())
    names = [str(path.relative_to(server)) for path in server.rglob("*")]
    assert not [name for name in names if "fan_id_01" in name]
    assert not [name for name in names if name.startswith(("classifiers/", "training/"))]
    assert [name for name in names if "fan_id_02" in name]
    record = Ledger(server / "withdrawals.jsonl")
    assert verify(record.lines()).signed == 2
    assert "fan_id_01 has left" in record.entries()[0].detail
    with pytest.raises(DataError, match="has nothing of a site 'fan_id_01'; there are: fan_id_00"):
        withdraw(server, "fan_id_01")
    words = ["collaborate", "withdraw", "fan_id_02", "--out", str(server)]
    shown = RUN.invoke(app, [*words, "--export", str(tmp_path / "record.json")])
    assert "cannot be taken back" in shown.output
    assert not verify(*read_lines(tmp_path / "record.json")[:1]).problems
    with pytest.raises(DataError, match="is no server's store"):
        withdraw(tmp_path / "data", "fan_id_00")


def test_an_export_says_what_it_is_of(ledger: Ledger, tmp_path: Path) -> None:
    found = export(ledger, tmp_path / "copy.json")

    lines, head = read_lines(tmp_path / "copy.json")
    assert lines == ledger.lines()
    assert head == found.head
