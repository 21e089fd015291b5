"""The one error: its message says what came, what was wanted and what to do."""


class EdgeError(Exception):
    """A model or a recording cannot be used."""
