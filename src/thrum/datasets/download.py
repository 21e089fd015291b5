"""Fetch the public datasets from their official records: list, download, check, unpack.

What has been done is kept in the folder ``.fetch/<dataset>`` below the recordings, a file for each archive,
so that a command that was stopped anywhere can be given again.
"""

from __future__ import annotations

import difflib
import html
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thrum import storage
from thrum.datasets.records import KNOWN_MD5, LICENCES, PARTS, ZENODO, Part
from thrum.datasets.unpack import DamagedArchiveError, count_files, free_bytes, place, unpack
from thrum.download import checksum, download, read_json
from thrum.errors import DatasetError, DownloadError, UnknownNameError
from thrum.types import Progress

UNPACKED_RATIO = 1.5
"""Bytes of recordings to expect of a byte of archive, for the look at the disk before the first one.

Ours: it is 1.4 for the fans of MIMII (5550 clips of 10 s, 8 channels, 16 kHz, 16 bits, in 10.2 GB).
What an archive really needs is compared with the disk again before it is unpacked.
"""

_WORK = ".fetch"
_MB = 10**6
_CONDITIONS_SHOWN = 3


@dataclass(frozen=True)
class Record:
    """What a record says of itself: its licence field, and its sentences that speak of licences."""

    page: str
    licence: str | None
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """One machine of one part, or a file about all, without a machine.

    `md5` is None where none was published.
    """

    dataset: str
    part: str
    machine: str
    file: str
    folder: str
    url: str
    bytes: int
    md5: str | None


@dataclass(frozen=True)
class Plan:
    """What is to be fetched, and what of it is complete in `out` already.

    Attributes
    ----------
    licence
        By the authors' conditions of use; None where only the records tell.
    arrived_bytes
        What of the missing archives is in `out` already: downloads that broke off, or whole archives.
    """

    dataset: str
    out: Path
    licence: str | None
    records: tuple[Record, ...]
    complete: tuple[Archive, ...]
    missing: tuple[Archive, ...]
    arrived_bytes: int

    @property
    def download_bytes(self) -> int:
        """What is still to be downloaded of the missing archives."""
        return sum(archive.bytes for archive in self.missing) - self.arrived_bytes

    @property
    def free_bytes(self) -> int:
        """What is free on the disk of `out`."""
        return free_bytes(self.out)

    def disk_bytes(self, *, keep: bool = False) -> int:
        """Return about how much more disk it takes: the recordings, and the archives one by one or all."""
        sizes = [archive.bytes for archive in self.missing]
        archives = sum(sizes) if keep else max(sizes, default=0)
        return max(0, int(UNPACKED_RATIO * sum(sizes)) + archives - self.arrived_bytes)


@dataclass(frozen=True)
class Fetched:
    """What became of one archive: its checksum, and the number of files by folder."""

    file: str
    url: str
    md5: str
    md5_was_published: bool
    files: dict[str, int]


class Repository:
    """The records at Zenodo, or at another address that answers as Zenodo does."""

    def __init__(self, base_url: str = ZENODO) -> None:
        self.base_url = base_url

    def plan(
        self, dataset: str, out: Path, *, only: Sequence[str] = (), parts: Sequence[str] = ()
    ) -> Plan:
        """Ask the records of `dataset` what they hold and look what is in `out`; fetch nothing yet.

        Parameters
        ----------
        only
            The machines; none means all. What is about all machines is always in.
        parts
            The parts by name; none means all.

        Raises
        ------
        UnknownNameError
            Where there is no such dataset, part or machine.
        DownloadError
            Where a record cannot be reached, or is not what it was.
        DatasetError
            Where another dataset was fetched to `out`.
        """
        by_name = {part.name: part for part in PARTS[_known("dataset", dataset, PARTS)]}
        chosen = [
            by_name[_known(f"part of {dataset}", name, by_name)]
            for name in dict.fromkeys(parts or by_name)
        ]
        _refuse_another(dataset, out)
        contents = {part.record: read_json(self._url("api/records", part)) for part in chosen}
        archives = [
            archive
            for part in chosen
            for archive in self._archives(dataset, part, contents[part.record])
        ]
        machines = {archive.machine for archive in archives} - {""}
        wanted = {_known(f"machine in {dataset}", name, machines) for name in only if machines}
        archives = [one for one in archives if not only or one.machine in {"", *wanted}]
        complete = [archive for archive in archives if _is_complete(archive, out)]
        missing = [archive for archive in archives if archive not in complete]
        return Plan(
            dataset,
            out,
            LICENCES.get(dataset),
            tuple(
                _record(f"{self.base_url}/records/{number}", content)
                for number, content in contents.items()
            ),
            tuple(complete),
            tuple(missing),
            sum(_arrived_bytes(archive, out) for archive in missing),
        )

    def _url(self, path: str, part: Part) -> str:
        return f"{self.base_url}/{path}/{part.record}"

    def _archives(self, dataset: str, part: Part, content: Any) -> list[Archive]:
        """Return the archives of a part, of each machine the last revision, sorted by machine."""
        url = self._url("records", part)
        latest: dict[str, tuple[int, Archive]] = {}
        try:
            for entry in content["files"]:
                file, size, found = entry["key"], int(entry["size"]), entry.get("checksum") or ""
                match = part.machine(file)
                if match is None or match[1] <= latest.get(match[0], (0,))[0]:
                    continue
                machine, revision = match
                md5 = _md5(part, file, found.removeprefix("md5:") or None, page=url)
                folder = part.folder.replace("<machine>", machine)
                archive = Archive(
                    dataset, part.name, machine, file, folder, f"{url}/files/{file}", size, md5
                )
                latest[machine] = revision, archive
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DownloadError(
                f"{url} lists its files otherwise than thrum expects ({error!r}): download what is "
                f"called {part.archive} from there by hand, and unpack archives, to {part.folder}"
            ) from error
        if not latest:
            raise DownloadError(
                f"{url} lists no file called {part.archive}: the record may have moved; look for the "
                f"part {part.name!r} of {dataset} there"
            )
        return [latest[machine][1] for machine in sorted(latest)]


def fetch(plan: Plan, *, keep: bool = False, progress: Progress | None = None) -> list[Fetched]:
    """Download, check and unpack what `plan` says is missing, one archive after the other.

    An archive that lies in ``.fetch/<dataset>`` already (kept, or put there by hand) is taken if it has
    its MD5. Where no MD5 was published, that of the first download is recorded and later ones are
    held to it.

    Parameters
    ----------
    keep
        Whether archives stay there once they are unpacked.
    progress
        Told in MB and in files, archive by archive.

    Raises
    ------
    DownloadError
        Where an archive cannot be had; what arrived of it waits for the next call.
    DatasetError
        Where an archive is damaged or the disk has no room. Archives done before stay done, and
        nothing of this one is among the recordings.
    """
    for half in (plan.out / _WORK / plan.dataset).glob("*.unpacking"):
        shutil.rmtree(half, ignore_errors=True)
    needed, free = plan.disk_bytes(keep=keep), plan.free_bytes
    if needed > free:
        raise DatasetError(
            f"{plan.dataset} needs about {needed / 1e9:.1f} GB on the disk of {plan.out}, and "
            f"{free / 1e9:.1f} GB are free: free some space, or fetch less with --only and --parts"
        )
    return [_fetch(archive, plan.out, keep=keep, progress=progress) for archive in plan.missing]


def _fetch(archive: Archive, out: Path, *, keep: bool, progress: Progress | None) -> Fetched:
    path = _path(archive, out)
    expected = archive.md5 or _recorded_md5(archive, out)
    md5 = checksum(path, "md5") if path.is_file() else None
    if md5 is None or (expected is not None and md5 != expected):
        path.unlink(missing_ok=True)
        md5 = download(
            archive.url,
            path,
            expected=expected,
            algorithm="md5",
            progress=_staged(progress, f"{archive.file}, MB", divided_by=_MB),
        )
    try:
        if archive.machine:
            files = unpack(
                path,
                out / archive.folder,
                machine=archive.machine,
                temporary=path.with_name(f"{archive.file}.unpacking"),
                progress=_staged(progress, f"{archive.file}, files"),
            )
        else:
            files = place(path, out / archive.folder)
    except DamagedArchiveError as error:
        path.unlink(missing_ok=True)
        raise DatasetError(
            f"{error}; it was removed, run the same command again to fetch it anew"
        ) from error
    fetched = Fetched(archive.file, archive.url, md5, archive.md5 is not None, files)
    storage.write_json(_state_path(archive, out), asdict(fetched))
    if not _is_complete(archive, out):
        raise DatasetError(
            f"not all files of {archive.file} arrived in {out / archive.folder}: is something "
            f"removing them? Run the same command again"
        )
    if not keep:
        path.unlink()
    return fetched


def _staged(progress: Progress | None, stage: str, *, divided_by: int = 1) -> Progress | None:
    """Return `progress` under another name of the stage, in larger units."""
    if progress is None:
        return None
    return lambda _, done, total: progress(stage, -(-done // divided_by), -(-total // divided_by))


def _path(archive: Archive, out: Path) -> Path:
    return out / _WORK / archive.dataset / archive.file


def _state_path(archive: Archive, out: Path) -> Path:
    return _path(archive, out).with_name(f"{archive.file}.json")


def _arrived_bytes(archive: Archive, out: Path) -> int:
    path = _path(archive, out)
    found = (path, path.with_name(f"{path.name}.part"))
    return min(archive.bytes, sum(each.stat().st_size for each in found if each.is_file()))


def _recorded_md5(archive: Archive, out: Path) -> str | None:
    path = _state_path(archive, out)
    return storage.read_json(path)["md5"] if path.exists() else None


def _is_complete(archive: Archive, out: Path) -> bool:
    """Whether the archive was unpacked and every folder of it still has as many files."""
    path = _state_path(archive, out)
    if not path.exists():
        return False
    files: Mapping[str, int] = storage.read_json(path)["files"]
    return all(
        count_files(out / archive.folder / folder) >= count for folder, count in files.items()
    )


def _refuse_another(dataset: str, out: Path) -> None:
    others = {path.parent.name for path in (out / _WORK).glob("*/*.json")} - {dataset}
    if others:
        raise DatasetError(
            f"{out} holds {', '.join(sorted(others))}, and {dataset} would be mixed with it: give "
            f"another folder with --out"
        )


def _md5(part: Part, file: str, listed: str | None, *, page: str) -> str | None:
    known = KNOWN_MD5.get(part.record, {}).get(file)
    if known is not None and listed is not None and known != listed:
        raise DownloadError(
            f"{page} lists {file} with md5 {listed}, and thrum knows it with {known}: the record "
            f"has changed; read there why, and fetch by hand what you decide on"
        )
    return known or listed


def _record(page: str, content: Any) -> Record:
    """Return what the record says of its licence, as one line each, fit for a terminal."""
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    licence = metadata.get("license")
    licence = licence.get("id") if isinstance(licence, Mapping) else licence
    text = html.unescape(re.sub(r"<[^>]*>", " ", str(metadata.get("description") or "")))
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(text.split()))
    conditions = [_printable(line) for line in sentences if re.search("licen[cs]e", line, re.I)]
    named = _printable(str(licence)) if licence else None
    return Record(page, named, tuple(conditions[:_CONDITIONS_SHOWN]))


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _known(kind: str, name: str, names: Iterable[str]) -> str:
    """Return `name` if it is one of `names`."""
    known = sorted(names)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UnknownNameError(f"no {kind} is called {name!r}.{hint} There are: {', '.join(known)}")
