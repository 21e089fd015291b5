"""The command line: one file a verb, and the only place that prints."""

import os

# Idle threads of OpenMP that spin take the processor from those that work: on two busy cores five
# times the time. It must be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from thrum.cli.main import main

__all__ = ["main"]
