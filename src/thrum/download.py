"""One file over HTTP: resumed where it broke off, checked, never half there under its own name."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from thrum.errors import DownloadError
from thrum.types import Progress

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0

Algorithm = Literal["sha256", "md5"]


def download(
    url: str,
    path: Path,
    *,
    expected: str | None = None,
    algorithm: Algorithm = "sha256",
    progress: Progress | None = None,
) -> str:
    """Download `url` to `path` and return the checksum of the file.

    What has arrived lies in ``<path>.part`` and is gone on with by the next call. The server is
    asked for the rest only if the file there is still the same one, or if `expected` will tell.

    Parameters
    ----------
    expected
        The checksum that the file must have; None takes what comes.
    algorithm
        The kind of both checksums.
    progress
        Told in bytes.

    Raises
    ------
    DownloadError
        Where the server cannot be reached, refuses, or breaks off, where the disk is full, and
        where the checksum is another. Only in the last case what arrived is removed.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, checked=expected is not None, progress=progress)
        found = checksum(part, algorithm)
        if expected is not None and found != expected:
            _forget(part)
            raise DownloadError(
                f"{url} came with {algorithm} {found}, wanted {expected}: it was damaged on the "
                f"way, or is another file; what came was removed, try again"
            )
        part.replace(path)
    except OSError as error:
        full = error.errno == errno.ENOSPC
        advice = "free some space, run the same command again" if full else "choose another folder"
        raise DownloadError(f"cannot write {part}: {error.strerror}; {advice}") from error
    _forget(part)
    return found


def read_json(url: str) -> Any:
    """Return the JSON that `url` answers.

    Raises
    ------
    DownloadError
        Where the server cannot be reached, refuses, or answers something else.
    """
    with _network_errors(url), _open(url, {"Accept": "application/json"}) as response:
        content = response.read()
    try:
        return json.loads(content)
    except ValueError as error:
        raise DownloadError(f"{url} answered no JSON ({error}): try again later") from error


def checksum(path: Path, algorithm: Algorithm) -> str:
    """Return the checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Turn every error of the block, which uses the network and no disk, into a `DownloadError`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        gone = error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)
        advice = "the file may have moved" if gone else "run the same command again later"
        raise DownloadError(
            f"{url}: the server answered {error.code} {error.reason}; {advice}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{url} cannot be reached ({reason}): run the same command again to go on where it "
            f"stopped"
        ) from error


def _open(url: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "thrum", **headers})
    return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


def _fetch(url: str, part: Path, *, checked: bool, progress: Progress | None) -> None:
    tag_path = part.with_name(part.name + ".tag")
    tag = tag_path.read_text() if tag_path.exists() else None
    start = part.stat().st_size if part.exists() and (tag or checked) else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and tag:
        headers["If-Range"] = tag
    with _network_errors(url):
        try:
            response = _open(url, headers)
        except urllib.error.HTTPError as error:
            if not start or error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return  # all of it came before
            start, response = 0, _open(url, {})
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if tag and not tag.startswith("W/"):
            tag_path.write_text(tag)
        else:
            tag_path.unlink(missing_ok=True)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as file:
            for done in _copied(url, response, file, start=start, total=total):
                if progress is not None:
                    progress("bytes", done, total or done)


def _copied(
    url: str, source: IO[bytes], file: IO[bytes], *, start: int, total: int | None
) -> Iterator[int]:
    """Write what comes to `file`; yield after each piece how much is there in all."""
    done = start
    while True:
        with _network_errors(url):
            chunk = source.read(CHUNK_BYTES)
            if not chunk and total is not None and done < total:
                raise http.client.IncompleteRead(b"", total - done)
        if not chunk:
            return
        file.write(chunk)
        done += len(chunk)
        yield done


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)
