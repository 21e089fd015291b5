"""A server on this machine that answers as the repository of records does, with small archives."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile

CONDITIONS = "This dataset was created by <b>A, Ltd.</b> and B, and is under the X license."


def recording(channels: int = 1) -> bytes:
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, (160, channels))
    file = io.BytesIO()
    soundfile.write(file, sound, 16000, format="WAV")
    return file.getvalue()


def archive(
    names: Iterable[str], *, channels: int = 1, extra: Mapping[str, str] | None = None
) -> bytes:
    """Return a zip archive with a recording under each name, and `extra` files of text."""
    content, file = recording(channels), io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        folders = {name.rpartition("/")[0] + "/" for name in names}
        for folder in sorted(folders):
            target.writestr(folder, "")
        for name in names:
            target.writestr(name, content)
        for name, text in (extra or {}).items():
            target.writestr(name, text)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Holds files by record and name; breaks off once after `breaks_after` bytes of a file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.records: dict[int, dict[str, bytes]] = {}
        self.md5s: dict[str, str | None] = {}
        self.sizes: dict[str, int] = {}
        self.breaks_after: int | None = None
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files_asked(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.asked if "/files/" in path]

    def listing(self, number: int) -> dict[str, Any]:
        files = []
        for name, content in self.records[number].items():
            md5 = self.md5s.get(name, hashlib.md5(content).hexdigest())
            entry = {"key": name, "size": self.sizes.get(name, len(content))}
            files.append(entry if md5 is None else {**entry, "checksum": f"md5:{md5}"})
        description = f"<p>Sounds. {CONDITIONS}</p> <p>More\x1b[31m words.</p>"
        metadata = {"license": {"id": "x-1.0"}, "description": description}
        return {"id": number, "metadata": metadata, "files": files}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(self.path + (f" {wanted}" if wanted else ""))
        parts = self.path.strip("/").split("/")
        if parts[:2] == ["api", "records"] and int(parts[2]) in server.records:
            self.answer(json.dumps(server.listing(int(parts[2]))).encode(), 200)
            return
        content = server.records.get(int(parts[1]), {}).get(parts[-1])
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        end, server.breaks_after = server.breaks_after, None
        self.answer(content[start:], 206 if start else 200, end=end)

    def answer(self, content: bytes, status: int, *, end: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:end])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def names_2020(machine: str, part: str) -> list[str]:
    """Return names as in the archives of 2020: two machine IDs, three clips to train and two to test."""
    ids = ("id_00", "id_02") if part == "dev" else ("id_01", "id_03")
    train = [f"{machine}/train/normal_{i}_0000000{n}.wav" for i in ids for n in range(3)]
    test = [
        f"{machine}/test/{label}_{i}_00000000.wav" for i in ids for label in ("normal", "anomaly")
    ]
    unlabelled = [f"{machine}/test/{i}_0000000{n}.wav" for i in ids for n in range(2)]
    return {"dev": train + test, "add": train, "eval": unlabelled}[part]


def names_by_section(machine: str, part: str) -> list[str]:
    """Return names as in the archives from 2022 on: one section."""
    train = [
        f"{machine}/train/section_00_{domain}_train_normal_000{n}_vel_{n}.wav"
        for domain in ("source", "target")
        for n in range(2)
    ]
    test = [
        f"{machine}/test/section_00_{domain}_test_{label}_0000_vel_1.wav"
        for domain in ("source", "target")
        for label in ("normal", "anomaly")
    ]
    unlabelled = [f"{machine}/test/section_00_000{n}.wav" for n in range(3)]
    return {"dev": train + test, "add": train, "eval": unlabelled}[part]
