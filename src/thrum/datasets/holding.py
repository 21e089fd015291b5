"""Which normal clips are kept from training, to be tested beside the anomalies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from thrum.datasets.listing import natural
from thrum.types import Clip, group_by_machine


def held_out(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips of one machine ID, its last normal ones by name as test clips.

    As many as there are anomalies, but at most a third; none where there are no anomalies.
    """
    normal = sorted((clip for clip in clips if clip.split == "train"), key=by_name)
    anomalies = sum(clip.label == "anomaly" for clip in clips)
    count = min(anomalies, len(normal) // 3)
    kept = {id(clip) for clip in normal[len(normal) - count :]}
    return [replace(clip, split="test") if id(clip) in kept else clip for clip in clips]


def held_out_of_long(clips: Iterable[Clip]) -> list[Clip]:
    """Return clips, of machine IDs that have anomalies and no normal test clip the last windows held out.

    One long normal recording is one file, of which no whole file can be held out.
    """
    result: list[Clip] = []
    for own in group_by_machine(clips).values():
        labels = {clip.label for clip in own if clip.split == "test"}
        long = any(clip.stretch is not None for clip in own if clip.split == "train")
        result += held_out(own) if long and labels == {"anomaly"} else own
    return result


def by_name(clip: Clip) -> Any:
    """Return the sort key of a clip by its name, folder by folder, ``2`` before ``10``, then by time."""
    file = clip.name.partition("#")[0] if clip.stretch else clip.name
    return [natural(part) for part in file.split("/")], clip.stretch or (0.0, 0.0)
