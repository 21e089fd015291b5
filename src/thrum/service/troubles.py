"""What the service is ill of, in a sentence that the pages say in every language."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from thrum.sentences import Sentence, said


def trouble(error: Exception) -> Sentence:
    """Return what an error says; the words of drivers, libraries and the system stand in it as they are."""
    told = said(error)
    if isinstance(told, Sentence):
        return told
    if isinstance(error, SQLAlchemyError):  # its own words go on with the statement and its values
        lines = str(getattr(error, "orig", None) or error).splitlines()
        return Sentence("database_ill", reason=lines[0] if lines else type(error).__name__)
    return Sentence("as_told", reason=told or type(error).__name__)
