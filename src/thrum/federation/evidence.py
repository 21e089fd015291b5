"""A ledger as evidence: lines chained by hash, signed at the end of a round, and verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from thrum import storage
from thrum.errors import DamagedError, DataError, StorageError
from thrum.federation.ledger import DAMAGED, Entry, Ledger, entry_of, linked

SIGNATURE = "signature"
KEY_FILE = "ledger.key"
_PREFIX = b"thrum ledger, 1\n"
"""So that a signature is of a ledger and of nothing else that the key may sign."""


@dataclass(frozen=True)
class Verification:
    """What a ledger turned out to be.

    Parameters
    ----------
    lines
        How many there are.
    signed
        How many of them a signature covers.
    key
        The public key that signed, in hexadecimal; empty where nothing is signed.
    head
        The hash of the last line: who has noted it elsewhere sees whether lines were cut off since.
    problems
        What is wrong, each a sentence; empty where nothing is.
    """

    lines: int
    signed: int
    key: str
    head: str
    problems: Sequence[str]


def sign(ledger: Ledger, key_path: Path) -> Entry | None:
    """Sign all lines so far with the site's key; None where nothing was added since the last signature.

    The key is made where there is none. It never leaves.

    Raises
    ------
    StorageError
        Where the key is damaged, or the ledger cannot be written.
    """
    entries = ledger.entries()
    if not entries or entries[-1].what == SIGNATURE:
        return None
    key = _key(key_path)
    public = key.public_key().public_bytes_raw().hex()

    def detail(previous: str) -> str:
        return f"ed25519 {public} {key.sign(_PREFIX + previous.encode()).hex()}"

    return ledger.record(SIGNATURE, detail, clips=0, n_bytes=0, sha256="")


def export(ledger: Ledger, path: Path) -> Verification:
    """Write a copy that says by itself whether it is whole: ``thrum collaborate ledger --verify FILE``."""
    lines = ledger.lines()
    found = verify(lines)
    content = {
        "ledger": [line.decode("utf-8", errors="replace") for line in lines],
        "key": found.key,
        "head": found.head,
    }
    storage.write_json(path, content)
    return found


def read_lines(path: Path) -> tuple[list[bytes], str]:
    """Return the lines of a ledger, or of what `export` wrote, and the head that was noted with them.

    Raises
    ------
    DataError
        Where it is neither.
    """
    if path.is_dir():
        path = path / "ledger.jsonl"
    if not path.exists():
        raise DataError(f"no ledger at {path}: wanted the folder of a site, or an exported ledger")
    if path.suffix == ".jsonl":
        return Ledger(path).lines(), ""
    try:
        content = storage.read_json(path)
        return [str(line).encode() for line in content["ledger"]], str(content["head"])
    except (StorageError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no exported ledger: {error}") from error


def verify(lines: Sequence[bytes], *, key: str = "", head: str = "") -> Verification:
    """Compare each line with the one before it, and the signatures with what they cover.

    Parameters
    ----------
    key
        The public key that is trusted; empty takes the one that the first signature names.
    head
        A hash that was noted earlier: it must be that of one of the lines.
    """
    problems: list[str] = []
    previous, signed, trusted = linked(b""), 0, key
    heads = {previous}
    for number, line in enumerate(lines, start=1):
        entry = entry_of(line, number)
        if entry.what == DAMAGED:
            problems.append(f"line {number} cannot be read")
        elif entry.previous != previous:
            what = "is of before lines were chained" if not entry.previous else "does not follow"
            problems.append(
                f"line {number} ({entry.what}) {what}"
                + (
                    f" line {number - 1}: one of both was changed, or a line was removed or moved"
                    if entry.previous
                    else ""
                )
            )
        if entry.what == SIGNATURE:
            trusted = trusted or _named(entry)
            if wrong := _unsigned(entry, trusted):
                problems.append(f"line {number}: {wrong}")
            else:
                signed = number
        previous = linked(line)
        heads.add(previous)
    if head and head not in heads:
        problems.append("the line that was noted last is not there: lines were cut off or changed")
    return Verification(len(lines), signed, trusted, previous, problems)


def _unsigned(entry: Entry, trusted: str) -> str:
    """Return what is wrong with a signature; nothing where it is right."""
    if _named(entry) != trusted:
        return "signed with another key"
    try:
        signature = bytes.fromhex(entry.detail.split()[2])
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(trusted))
        public.verify(signature, _PREFIX + entry.previous.encode())
    except (InvalidSignature, ValueError, IndexError):
        return "the signature is not of the lines before it"
    return ""


def _named(entry: Entry) -> str:
    words = entry.detail.split()
    return words[1] if len(words) == 3 and words[0] == "ed25519" else ""


def _key(path: Path) -> Ed25519PrivateKey:
    try:
        secret = storage.kept_secret(path, lambda: Ed25519PrivateKey.generate().private_bytes_raw())
    except DamagedError as error:
        raise DamagedError(
            f"{error}, so nothing is signed with it; put the former one back, or remove it: the next "
            f"signature is then of a new key"
        ) from error
    return Ed25519PrivateKey.from_private_bytes(secret)
