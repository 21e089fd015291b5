"""One file over HTTP: resumed where it broke off, checked, never half there under its own name."""

from __future__ import annotations

import errno
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from thrum import storage
from thrum.errors import WeightsError
from thrum.types import Progress

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0


def download(
    url: str, path: Path, *, sha256: str | None = None, progress: Progress | None = None
) -> str:
    """Download `url` to `path` and return the sha256 of the file.

    What has arrived lies in ``<path>.part`` and is gone on with by the next call; the server is
    asked for the rest only if the file there is still the same one.

    Parameters
    ----------
    sha256
        What the file must have; None takes what comes.
    progress
        Told in bytes.

    Raises
    ------
    WeightsError
        Where the server cannot be reached, refuses, or breaks off, where the disk is full, and
        where the checksum is another. In the last two cases what arrived is removed.
    """
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, part, progress)
    except urllib.error.HTTPError as error:
        raise WeightsError(
            f"{url}: the server answered {error.code} {error.reason}. The file may have moved: "
            f"find it by hand and pass it with --from FILE"
        ) from error
    except (
        urllib.error.URLError,
        TimeoutError,
        ConnectionError,
        http.client.HTTPException,
    ) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"{url} cannot be reached ({reason}): run the same command again to go on where it "
            f"stopped, or download the file elsewhere and pass it with --from FILE"
        ) from error
    except OSError as error:
        _forget(part)
        advice = "free some space" if error.errno == errno.ENOSPC else "choose another cache folder"
        raise WeightsError(f"cannot write {part}: {error.strerror}; {advice}") from error
    found = storage.sha256(part)
    if sha256 is not None and found != sha256:
        _forget(part)
        raise WeightsError(
            f"{url} came with sha256 {found}, wanted {sha256}: it was damaged on the way, or is "
            f"another file; what came was removed, try again"
        )
    part.replace(path)
    _forget(part)
    return found


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    tag_path = part.with_name(part.name + ".tag")
    start = part.stat().st_size if part.exists() and tag_path.exists() else 0
    headers = {}
    if start:
        headers = {"Range": f"bytes={start}-", "If-Range": tag_path.read_text()}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if tag and not tag.startswith("W/"):
            tag_path.write_text(tag)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as file:
            done = _copy(response, file, start=start, total=total, progress=progress)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _copy(
    source: IO[bytes], file: IO[bytes], *, start: int, total: int | None, progress: Progress | None
) -> int:
    done = start
    while chunk := source.read(CHUNK_BYTES):
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress("bytes", done, total or done)
    return done


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)
