"""Settings: frozen dataclasses to TOML and back.

A TOML file holds only what differs from a dataclass's defaults. Unknown keys and values of the wrong kind
are errors that name the key, what came and what was wanted.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from thrum.errors import ConfigError

C = TypeVar("C")


def from_mapping(cls: type[C], values: Mapping[str, Any], *, where: str = "settings") -> C:
    """Build the dataclass `cls` from plain values, checking names and kinds.

    Nested dataclasses are given as nested mappings. Integers are taken where floats are wanted, lists
    where tuples are.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    unknown = [key for key in values if key not in fields]
    if unknown:
        close = difflib.get_close_matches(unknown[0], fields, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"{where}: unknown setting {unknown[0]!r}.{hint} There are: {', '.join(fields)}."
        )
    given = {
        key: _converted(value, hints[key], where=f"{where}: {key}") for key, value in values.items()
    }
    try:
        return cls(**given)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def load(cls: type[C], path: Path) -> C:
    """Read the dataclass `cls` from the TOML file at `path`."""
    return from_mapping(cls, read_toml(path), where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; one that is missing, unreadable or malformed is a `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no settings file at {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read as a settings file: {error.strerror}") from error


def to_toml(config: object) -> str:
    """Return every setting of a dataclass as TOML; settings that are None are left out."""
    import tomli_w

    return tomli_w.dumps(to_mapping(config))


def to_mapping(config: object) -> dict[str, Any]:
    """Return a dataclass as plain nested mappings, without the settings that are None."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"wanted a dataclass instance, got {config!r}")
    values: dict[str, Any] = _without_none(dataclasses.asdict(config))
    return values


def require_at_least(config: object, **fewest: int) -> None:
    """Raise a `ConfigError` where a setting is less than `fewest` says; None is not looked at."""
    for name, least in fewest.items():
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}, wanted at least {least}")


def require_positive(config: object, *names: str) -> None:
    """Raise a `ConfigError` where one of the settings is not more than 0; None is not looked at."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value}, wanted more than 0")


def with_overrides(config: C, assignments: Sequence[str]) -> C:
    """Return `config` with ``key=value`` (or ``outer.inner=value``) assignments applied.

    Values are read as TOML; what TOML does not understand is taken as a string, so that
    ``--set device=cpu`` needs no quotes.
    """
    values = to_mapping(config)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set wants key=value, got {assignment!r}")
        *parents, leaf = key.strip().split(".")
        target = values
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {assignment!r}: {parent!r} is not a group of settings")
        target[leaf] = _parsed(text.strip())
    return from_mapping(type(config), values, where="--set")


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _converted(value: Any, wanted: Any, *, where: str) -> Any:
    """Return `value` as the annotation `wanted` asks, or raise a `ConfigError` that says what came."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        groups = [each for each in arguments if dataclasses.is_dataclass(each)]
        if len(groups) == 1 and isinstance(value, Mapping):  # so that what is wrong inside is said
            return _converted(value, groups[0], where=where)
        for option in arguments:
            try:
                return _converted(value, option, where=where)
            except ConfigError:
                continue
    elif origin is typing.Literal:
        if value in arguments:
            return value
        close = difflib.get_close_matches(str(value), [str(a) for a in arguments], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        options = ", ".join(repr(a) for a in arguments)
        raise ConfigError(f"{where}: got {value!r}, wanted one of {options}{hint}")
    elif origin is tuple and isinstance(value, list | tuple):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_converted(item, arguments[0], where=where) for item in value)
        if len(value) == len(arguments):
            pairs = zip(value, arguments, strict=True)
            return tuple(_converted(item, kind, where=where) for item, kind in pairs)
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _converted(item, arguments[1], where=where) for key, item in value.items()}
    elif wanted is type(None):
        if value is None:
            return None
    elif dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        if isinstance(value, wanted):
            return value
        if isinstance(value, Mapping):
            return from_mapping(wanted, value, where=where)
    elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif wanted is Path and isinstance(value, str | Path):
        return Path(value)
    elif (
        isinstance(wanted, type)
        and isinstance(value, wanted)
        and not (wanted is int and isinstance(value, bool))
    ):
        return value
    kind = getattr(wanted, "__name__", str(wanted))
    raise ConfigError(f"{where}: got {value!r}, wanted {kind}")
