"""Names to classes, imported late.

A registry is a table ``{"knn": "thrum.detectors.knn:KNN"}``. Looking a name up imports its module and no
other, so that listing what there is costs nothing. ``"their.module:Class"`` works without registration
where a person says it: in a command, in settings made in Python. What others have written, a saved run or
a message, may name registered things only (`Registry.require`): importing is running.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from thrum.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of names of one kind of thing.

    Parameters
    ----------
    kind
        What the names stand for, in the singular, for messages: ``"detector"``.
    entries
        ``{name: "module:Class"}``.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self.entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def load(self, name: str) -> type[T]:
        """Return the class that `name` stands for.

        Raises
        ------
        UnknownNameError
            Where no such name is registered, or ``module:Class`` cannot be imported.
        """
        target = self.entries.get(name, name if ":" in name else None)
        if target is None:
            raise UnknownNameError(self._suggestion(name))
        module_name, _, class_name = target.partition(":")
        try:
            found: type[T] = getattr(importlib.import_module(module_name), class_name)
        except ModuleNotFoundError as error:
            if name in self.entries and (error.name or "").startswith("thrum"):
                raise
            raise UnknownNameError(
                f"{self.kind} {name!r}: cannot import {error.name!r}; install the package that holds it"
            ) from error
        except AttributeError as error:
            raise UnknownNameError(
                f"{self.kind} {name!r}: module {module_name!r} has no {class_name!r}"
            ) from error
        return found

    def require(self, name: object) -> None:
        """Raise where `name`, taken from a file or a message, is not registered; nothing is imported.

        Raises
        ------
        UnknownNameError
            Where it is not in the table, ``module:Class`` included.
        """
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(sorted(self.entries))
            raise UnknownNameError(
                f"{self.kind} {name!r} is refused: files and messages may name registered ones only, "
                f"which are {known}"
            )

    def _suggestion(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.entries, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(sorted(self.entries))
        return (
            f"no {self.kind} is called {name!r}.{hint} There are: {known}; "
            f"or give your own as 'module:Class'."
        )
