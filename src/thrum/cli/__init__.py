"""The command line: one file a verb, and the only place that prints."""

from thrum.cli.main import main

__all__ = ["main"]
