"""A process of the engine that ends with the command that started it. Imports nothing heavy.

``python -m thrum.federation.flare.process MODULE ARGUMENTS`` runs a module of the engine.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

WATCH_SECONDS = 0.5


def end_with_parent() -> None:
    """Let this process end, at once and whatever it does, when the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
