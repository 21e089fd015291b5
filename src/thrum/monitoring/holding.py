"""Normal clips that are held back from a network, so that it can be measured on them."""

from __future__ import annotations

from collections.abc import Iterable

from thrum.types import Clip

FEWEST_LEARNT = 2
"""Recordings that stay to be learnt of each machine ID and domain."""


def held_out(clips: Iterable[Clip], share: float) -> tuple[list[Clip], list[Clip]]:
    """Return the clips to learn from and those held back: about `share` of each machine ID and domain.

    All clips of one recording go one way, and those held back are spread over the whole of it: every fifth
    recording for a fifth, so that what is measured is of the same hours as what is learnt. Which
    they are depends on the clips alone.
    """
    clips = list(clips)
    recordings: dict[object, list[object]] = {}
    for clip in clips:
        own = recordings.setdefault((clip.machine_key, clip.domain), [])
        if (clip.path, clip.row) not in own[-1:]:
            own.append((clip.path, clip.row))
    back: set[object] = set()
    for own in recordings.values():
        count = min(round(share * len(own)), len(own) - FEWEST_LEARNT)
        back.update(own[int((number + 0.5) * len(own) / count)] for number in range(count))
    learnt = [clip for clip in clips if (clip.path, clip.row) not in back]
    return learnt, [clip for clip in clips if (clip.path, clip.row) in back]
