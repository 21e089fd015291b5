"""Messages that a hostile peer might send: sound ones with something in them replaced."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np

_ODD: list[Callable[[random.Random], Any]] = [
    lambda r: None,
    lambda r: r.choice([True, False]),
    lambda r: r.choice([-1, 0, 1, 2, 63, 64, 65, 1 << 31, 1 << 63, 1 << 70, -(1 << 70), 10**400]),
    lambda r: r.choice([0.0, -0.5, 1e308, float("nan"), float("inf"), -float("inf")]),
    lambda r: r.choice(["", "x", "../../x", "\0", "\x1b[2J", "\ud800", "x" * 100_000, "f" * 64]),
    lambda r: r.choice([b"", b"x", bytearray(3), memoryview(b"x"), object(), {1, 2}, 1 + 2j]),
    lambda r: r.choice([[], [[]], [None], [1] * 300_000, {}, {"x": {}}, {1: 2}, {None: []}, ()]),
    lambda r: r.choice(
        [
            np.zeros(()),
            np.zeros((0, 4), np.float16),
            np.zeros((5, 4), np.float32),
            np.full((5, 4), np.nan, np.float16),
            np.array([None, "x"], object),
            np.array(["a", "b"]),
            np.zeros(3, np.complex128),
            np.zeros(2, "M8[s]"),
            np.zeros(2, [("a", "i4")]),
            np.broadcast_to(np.float16(0), (1 << 40, 4)),
            np.float64(3),
            np.int64(3),
            np.ma.masked_array([1, 2]),
        ]
    ),
    lambda r: _deep(r.choice([5, 5000])),
]


def mutated(message: Any, chance: random.Random) -> Any:
    """Return a copy of a message with one to three places of it replaced, doubled or gone."""
    message = _copied(message)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        message = _mutated_once(message, chance)
    return message


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """Return bytes of which some were changed, lost, doubled or exchanged for others."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 8])):
        place = chance.randrange(len(changed) + 1)
        length = chance.choice([1, 1, 1, 2, 4, 64])
        action = chance.randrange(4)
        if action == 0 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif action == 1:
            changed[place : place + length] = chance.randbytes(length)
        elif action == 2:
            del changed[place : place + length]
        else:
            changed[place:place] = changed[place : place + length]
    return bytes(changed)


def _mutated_once(message: Any, chance: random.Random) -> Any:
    parents = [(None, None, message), *_places(message)]
    parent, key, value = chance.choice(parents)
    action = chance.random()
    if parent is None or action < 0.7:
        new = chance.choice(_ODD)(chance)
    elif action < 0.8 and type(value) is int:
        new = value + chance.choice([-1, 1, 1 << 40])
    elif action < 0.9:
        other = chance.choice(parents)[2]
        new = copy.copy(other) if isinstance(other, dict | list) else other
    else:
        if isinstance(parent, dict):
            del parent[key]
        else:
            parent[key:] = parent[key:] * chance.choice([0, 2, 4000 if len(parent) < 3 else 2])
        return message
    if parent is None:
        return new
    parent[key] = new
    return message


def _places(value: Any) -> list[tuple[Any, Any, Any]]:
    """Return every place below a value: what holds it, under which key, and what is there."""
    found: list[tuple[Any, Any, Any]] = []
    waiting = [value]
    while waiting and len(found) < 500:
        holder = waiting.pop()
        items = (
            list(holder.items())
            if isinstance(holder, dict)
            else list(enumerate(holder[:50]))
            if isinstance(holder, list)
            else []
        )
        for key, inner in items:
            found.append((holder, key, inner))
            waiting.append(inner)
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value] if len(value) < 1000 else list(value)
    return value


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
