"""A server and sites as processes of their own, on one machine, for `broken_rounds.py` to kill.

The objects and the stores are those that are deployed; between them is a socket instead of the engine. A
question is asked three times, as over the engine, before its site counts as lost.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import FederationError, ThrumError
from thrum.evaluation.table import write_scores
from thrum.federation import ledger
from thrum.federation.inprocess import simulate
from thrum.federation.protocol import SiteHandle, answer
from thrum.federation.releasing import Releases
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.systems.embedding_sharing import fitting, preset_config
from thrum.types import group_by_machine

SITES = 3
CLIPS = 40
CONFIG = preset_config("compact", assignments=["epochs=1", "members=2", "batch_size=32"])
ATTEMPTS = 3
PAUSE_SECONDS = 0.1
RETURN_SECONDS, ANSWER_SECONDS = 10.0, 60.0
"""How long a site may take to be started again, and to answer; machines may do more than this."""
FULL_FOR = 6
"""Writes to a full disk that fail until somebody makes room."""
SAID, UNEXPECTED = 3, 4
"""Exit codes: it says what is missing; it ended in an error that is none of ours."""


@dataclass(frozen=True)
class Round:
    """What is run: `sharing` and the paper's `algorithm`."""

    sharing: str
    algorithm: int


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a process, beside being killed.

    Parameters
    ----------
    full_after
        From its so manieth write to disk on, the disk is full, until so many more have failed.
    cut_at
        While it sends its so manieth piece, the network is cut, in the middle.
    clock_hours
        By so much its clock is off.
    """

    full_after: int | None = None
    cut_at: int | None = None
    clock_hours: float = 0.0


def write_recordings(folder: Path) -> None:
    """Write embeddings (T, D) of the clips of each site: a level and rhythm of its own, varying as at all."""
    folder.mkdir(parents=True)
    common = np.random.default_rng(100).normal(size=(4, 12))
    for site in range(SITES):
        random = np.random.default_rng(site)
        level, rate = random.normal(size=12), random.uniform(0.2, 1.2, size=12)
        arrays = {}
        for name, count, fault in (
            ("train_normal", CLIPS, 0.0),
            ("test_normal", 8, 0.0),
            ("test_anomaly", 8, 0.8),
        ):
            phase = random.uniform(0, 6, size=(count, 1, 1))
            rhythm = np.sin(rate * (1 + fault) * np.arange(24)[None, :, None] + phase)
            varying = random.normal(size=(count, 1, 4)) @ common
            noise = 0.3 * random.normal(size=(count, 24, 12))
            arrays[name] = (level + rhythm + varying + noise).astype(np.float16)
        np.savez(folder / f"Press_id_{site:02d}.npz", **arrays)


def run_server(folder: Path, round_: Round, fault: Fault) -> NoReturn:
    """Run a round, tell the sites that it is done, and end."""
    _ending(folder / "server", partial(_serve, folder, round_), fault)


def run_site(folder: Path, number: int, round_: Round, fault: Fault) -> NoReturn:
    """Answer until killed; after a round that is done, score."""
    _ending(folder / f"site{number}", partial(_answer, folder, number, round_, fault), fault)


def run_at_once(data: Path, folder: Path, round_: Round) -> None:
    """Run a round in this process, so that all is imported before others are forked from it."""
    torch.set_num_threads(1)
    simulate(
        open_dataset(data),
        embedder=create_embedder("precomputed"),
        config=CONFIG,
        folder=folder / f"{round_.sharing}{round_.algorithm}",
        algorithm=round_.algorithm,  # type: ignore[arg-type]
        sharing=round_.sharing,  # type: ignore[arg-type]
        device="cpu",
        releases=Releases(embeddings="frames"),
    )


def said(folder: Path) -> list[str]:
    """Return how the processes with this folder have ended by themselves."""
    path = folder.parent / f"{folder.name}.said"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _serve(folder: Path, round_: Round) -> None:
    lines = {f"site{number}": Line(folder, f"site{number}") for number in range(SITES)}
    server = Server(folder / "server", config=CONFIG, device="cpu", whitening_from=1)
    handles: Any = lines
    server.collaborate(handles, algorithm=round_.algorithm, sharing=round_.sharing)  # type: ignore[arg-type]
    for line in lines.values():
        line.asked("conclude", {})


def _answer(folder: Path, number: int, round_: Round, fault: Fault) -> None:
    name = f"site{number}"
    own = list(group_by_machine(open_dataset(folder.parent / "data")).values())[number]
    site = Site(
        name,
        own,
        create_embedder("precomputed"),
        folder / name,
        device="cpu",
        algorithm=round_.algorithm,  # type: ignore[arg-type]
        sharing=round_.sharing,  # type: ignore[arg-type]
        releases=Releases(embeddings="frames"),
    )
    site.prepare()
    address = folder / f"{name}.socket"
    address.unlink(missing_ok=True)
    pieces = 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        while True:
            line, _ = listener.accept()
            with line:
                asked = _received(line)
                if asked is None:
                    continue
                reply = pickle.dumps(_reply(site, *asked))
                whole = len(reply)
                pieces += asked[0] == "chunk"
                if asked[0] == "chunk" and pieces == fault.cut_at:
                    reply = reply[: len(reply) // 2]
                with suppress(OSError):  # the server was killed
                    line.sendall(whole.to_bytes(8) + reply)


def _reply(site: Site, question: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        if question == "conclude":
            site.brought.end()
            site.sign()
            for own in site.score():
                write_scores(site.folder / "scores", own.test)
            (site.folder / "done").touch()
            return {"answer": {}}
        return {"answer": answer(site, question, arguments)}
    except Exception as error:  # noqa: BLE001 - as the endpoint of the engine does
        ours = isinstance(error, ThrumError)
        _note(site.folder, SAID if ours else UNEXPECTED, error)
        return {"failed": type(error).__name__}


class Line:
    """The server's stand-in for a site."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._address = str(folder / f"{name}.socket")

    def __getattr__(self, question: str) -> Callable[..., Any]:
        method = inspect.signature(getattr(SiteHandle, question))

        def ask(*words: Any, **more: Any) -> Any:
            given = method.bind(self, *words, **more).arguments
            return self.asked(question, {k: v for k, v in given.items() if k != "self"})

        return ask

    def asked(self, question: str, arguments: dict[str, Any]) -> Any:
        """Ask, again where the line broke."""
        for _ in range(ATTEMPTS):
            try:
                with socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(ANSWER_SECONDS)
                    self._connect(line)
                    content = pickle.dumps((question, arguments))
                    line.sendall(len(content).to_bytes(8) + content)
                    reply = _received(line)
            except OSError:
                continue
            if reply is not None:
                if "answer" in reply:
                    return reply["answer"]
                raise FederationError(
                    f"site {self.name!r} could not answer {question!r} ({reply['failed']})"
                )
        raise FederationError(f"site {self.name!r} was lost at {question!r}")

    def _connect(self, line: socket.socket) -> None:
        """Connect, when the site has been started again."""
        deadline = time.monotonic() + RETURN_SECONDS
        while True:
            try:
                return line.connect(self._address)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)


def _received(line: socket.socket) -> Any:
    """Return what came, None where it did not come whole."""
    try:
        with line.makefile("rb") as file:
            size = file.read(8)
            content = file.read(int.from_bytes(size)) if len(size) == 8 else b""
    except OSError:
        return None
    return pickle.loads(content) if len(content) == int.from_bytes(size or b"\1") else None  # noqa: S301


def _ending(folder: Path, work: Callable[[], None], fault: Fault) -> NoReturn:
    """Run a process of the benchmark; nothing of what its parent had open is tidied up behind it."""
    torch.set_num_threads(1)
    fitting.train = partial(fitting.train, checkpoint_seconds=0.0)  # type: ignore[assignment]
    _arrange(fault)
    code = 0
    try:
        work()
    except ThrumError as error:
        code = SAID
        _note(folder, code, error)
    except BaseException as error:  # noqa: BLE001 - is counted
        code = UNEXPECTED
        _note(folder, code, error)
    sys.stdout.flush()
    os._exit(code)


def _note(folder: Path, code: int, error: BaseException) -> None:
    line = {"code": code, "error": str(error), "kind": type(error).__name__}
    if code == UNEXPECTED:
        line["trace"] = traceback.format_exc()
    with (folder.parent / f"{folder.name}.said").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _arrange(fault: Fault) -> None:
    if fault.full_after is not None:
        left, fsync = [fault.full_after], os.fsync

        def full(handle: int) -> None:
            left[0] -= 1
            if -FULL_FOR <= left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        os.fsync = full
    if fault.clock_hours:
        off, now = timedelta(hours=fault.clock_hours), time.time

        class Wrong(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + off

        ledger.datetime = Wrong  # type: ignore[misc]
        time.time = lambda: now() + off.total_seconds()
