"""A process of the engine that ends with the one that started it. Imports nothing heavy.

``python -m thrum.federation.flare.process PARENT MODULE ARGUMENTS`` runs a module of the engine as long as
the process with the id ``PARENT`` is its parent. The id comes with the command line, so that a process
notices, too, whose parent was gone before its first line ran.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

PROCESS = "thrum.federation.flare.process"
WATCH_SECONDS = 0.5


def end_with(parent: int) -> None:
    """Let this process end, at once and whatever it does, when that one is not its parent (any more)."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


if __name__ == "__main__":
    end_with(int(sys.argv.pop(1)))
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
