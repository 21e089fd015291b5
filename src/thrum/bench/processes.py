"""A process for each cell that is trained, with one thread.

One that fails, or is killed for memory, leaves the others alone. When the command that started them is
killed, they end too.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing import connection
from pathlib import Path

from thrum.bench import cells
from thrum.bench.cells import Cell
from thrum.errors import ThrumError
from thrum.types import Progress

REPORT_SECONDS = 0.5  # at most so often a process tells how far it is


class Process:
    """One cell being trained.

    Attributes
    ----------
    folder
        Of the cell, once it is complete.
    error
        Why it failed.
    """

    def __init__(self, cell: Cell) -> None:
        context = multiprocessing.get_context("spawn")
        self.cell = cell
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_train, args=(cell, sender), daemon=True)
        self.started = time.monotonic()
        self.folder: Path | None = None
        self.error = ""
        with _one_thread():
            self.process.start()
        sender.close()

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.started

    @property
    def has_ended(self) -> bool:
        """Whether the cell is complete, or has failed."""
        return self.folder is not None or bool(self.error)

    def messages(self) -> list[tuple[str, int, int]]:
        """Return what the process told since the last time; notice its end."""
        told: list[tuple[str, int, int]] = []
        try:
            while not self.has_ended and self.receiver.poll():
                kind, content = self.receiver.recv()
                if kind == "progress":
                    told.append(content)
                elif kind == "complete":
                    self.folder = content
                else:
                    self.error = content
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            killed = f"killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
            self.error = f"its process was {killed}; out of memory? Fewer --jobs need less"
        if self.has_ended:
            self.process.join()
            self.receiver.close()
        return told

    def stop(self) -> None:
        """End the process; its checkpoints stay."""
        self.process.terminate()
        self.process.join()


class _one_thread:  # noqa: N801  # reads as a statement
    """While a process is started: it shall use one thread, as many processes as cores."""

    def __enter__(self) -> None:
        self.before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = self.before


def _train(cell: Cell, sender: connection.Connection) -> None:
    """Train one cell; the main function of a process."""
    _end_with_parent()
    try:
        folder = cells.train(cell, progress=_reporter(sender))
    except ThrumError as error:
        sender.send(("failed", str(error)))
    except Exception as error:  # noqa: BLE001  # the table says it, the other cells go on
        sender.send(("failed", f"{type(error).__name__}: {error}"))
    else:
        sender.send(("complete", folder))


def _reporter(sender: connection.Connection) -> Progress:
    told = {"": 0.0}

    def report(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - told.get(stage, 0.0) > REPORT_SECONDS:
            told[stage] = now
            sender.send(("progress", (stage, done, total)))

    return report


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even by ``kill -9``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and stops this process
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
