"""Downloads from a server on this machine: whole, resumed, refused, damaged, on a full disk."""

import errno
import hashlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from thrum.download import download, read_json
from thrum.errors import DownloadError

CONTENT = bytes(range(256)) * 12000  # three chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` at /file; breaks off once after `breaks_after` bytes; notes the ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.ranges = True
        self.breaks_after: int | None = None
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if self.path == "/file?busy":
            self.send_error(429)
            return
        if self.path != "/file":
            self.send_error(404)
            return
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if server.etag is not None:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        end, server.breaks_after = server.breaks_after, None
        self.wfile.write(server.content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = download(
        server.url, tmp_path / "x.h5", expected=SHA256, progress=lambda *step: told.append(step)
    )
    assert found == SHA256
    assert (tmp_path / "x.h5").read_bytes() == CONTENT
    assert names(tmp_path) == ["x.h5"]
    assert told[-1] == ("bytes", len(CONTENT), len(CONTENT))


def test_broken_off_and_resumed(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 2_000_000
    with pytest.raises(DownloadError, match="run the same command again"):
        download(server.url, tmp_path / "x.h5", expected=SHA256)
    assert names(tmp_path) == ["x.h5.part", "x.h5.part.tag"]
    download(server.url, tmp_path / "x.h5", expected=SHA256)
    assert server.asked == [None, "bytes=2000000-"]
    assert (tmp_path / "x.h5").read_bytes() == CONTENT
    assert names(tmp_path) == ["x.h5"]


@pytest.mark.parametrize("change", ["other file", "no ranges"])
def test_a_rest_that_does_not_fit_is_not_appended(
    server: Server, tmp_path: Path, change: str
) -> None:
    server.breaks_after = 2_000_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path / "x.h5")
    if change == "other file":
        server.content, server.etag = CONTENT[::-1], '"two"'
    else:
        server.ranges = False
    download(server.url, tmp_path / "x.h5")
    assert (tmp_path / "x.h5").read_bytes() == server.content


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"came with sha256 {SHA256}, wanted 00"):
        download(server.url, tmp_path / "x.h5", expected="00" * 32)
    assert names(tmp_path) == []


def test_not_found(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="answered 404 Not Found; the file may have moved"):
        download(server.url + "s", tmp_path / "x.h5")
    assert names(tmp_path) == []


def test_a_busy_server_loses_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.h5.part").write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match="answered 429 .*; run the same command again later"):
        download(server.url + "?busy", tmp_path / "x.h5", expected=SHA256)
    assert (tmp_path / "x.h5.part").read_bytes() == CONTENT[:1000]


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    with pytest.raises(
        DownloadError, match=r"cannot be reached .*refused.*run the same command again"
    ):
        download(url, tmp_path / "x.h5")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_loses_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.h5.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="No space left on device; free some space"):
        download(server.url, tmp_path / "x.h5")
    assert names(tmp_path) == ["x.h5.part", "x.h5.part.tag"]


class Unplugged:
    """A response that gives one piece; then there is no way to the host."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.pieces = iter([response.read(1_000_000)])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.response, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()

    def read(self, size: int) -> bytes:
        if (piece := next(self.pieces, None)) is None:
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        return piece


def test_a_network_that_goes_away_is_not_the_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = urllib.request.urlopen
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: Unplugged(opened(*a, **k)))
    with pytest.raises(DownloadError, match=r"cannot be reached \(.*No route to host\): run the"):
        download(server.url, tmp_path / "x.h5")
    assert (tmp_path / "x.h5.part").read_bytes() == CONTENT[:1_000_000]
    monkeypatch.undo()
    download(server.url, tmp_path / "x.h5")
    assert server.asked == [None, "bytes=1000000-"]
    assert (tmp_path / "x.h5").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"one"', None])
def test_killed_between_the_last_byte_and_the_end(
    server: Server, tmp_path: Path, etag: str | None
) -> None:
    server.etag = etag
    (tmp_path / "x.h5.part").write_bytes(CONTENT)
    if etag is not None:
        (tmp_path / "x.h5.part.tag").write_text(etag)
    assert download(server.url, tmp_path / "x.h5", expected=SHA256) == SHA256
    assert server.asked == [f"bytes={len(CONTENT)}-"]
    assert names(tmp_path) == ["x.h5"]


def test_a_part_longer_than_the_file_is_begun_anew(server: Server, tmp_path: Path) -> None:
    server.etag = None
    (tmp_path / "x.h5.part").write_bytes(CONTENT + b"more")
    assert download(server.url, tmp_path / "x.h5", expected=SHA256) == SHA256
    assert server.asked == [f"bytes={len(CONTENT) + 4}-", None]


def test_without_a_tag_only_a_known_checksum_allows_to_resume(
    server: Server, tmp_path: Path
) -> None:
    server.etag = None
    for expected, asked in ((None, None), (SHA256, "bytes=1000000-")):
        (tmp_path / "x.h5.part").write_bytes(CONTENT[:1_000_000])
        download(server.url, tmp_path / "x.h5", expected=expected)
        assert server.asked.pop() == asked
        assert (tmp_path / "x.h5").read_bytes() == CONTENT


def test_md5(server: Server, tmp_path: Path) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert download(server.url, tmp_path / "x.zip", expected=md5, algorithm="md5") == md5
    with pytest.raises(DownloadError, match=f"came with md5 {md5}, wanted 00"):
        download(server.url, tmp_path / "y.zip", expected="00" * 16, algorithm="md5")


def test_an_answer_that_is_no_json(server: Server) -> None:
    with pytest.raises(DownloadError, match="answered no JSON"):
        read_json(server.url)
