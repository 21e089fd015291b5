"""Long recordings as many clips: one training example and one score every few seconds, not one an hour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from thrum import audio
from thrum.errors import AudioError, ConfigError
from thrum.types import Clip

WHOLE_SECONDS = 30.0
"""Recordings up to so long are one clip: longer than any clip of the field's datasets (DCASE: 6 to 18 s)."""
WINDOW_SECONDS = 10.0
"""What longer ones are cut into: as long as the field's clips, so that a short fault is not averaged away."""


@dataclass(frozen=True)
class Cutting:
    """How long recordings become clips.

    Parameters
    ----------
    clip_seconds
        How long a clip is; a longer recording is cut into such. None cuts recordings longer than
        `WHOLE_SECONDS` into windows of `WINDOW_SECONDS`; 0 never cuts.
    hop_seconds
        From the beginning of one clip to that of the next; None puts them end to end.
    """

    clip_seconds: float | None = None
    hop_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("clip_seconds", self.clip_seconds), ("hop_seconds", self.hop_seconds)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value}, wanted seconds, 0 or more")
        if self.hop_seconds == 0 or (self.hop_seconds and self.clip_seconds == 0):
            raise ConfigError("a hop of 0 s, or of clips that are never cut, has no meaning")
        if self.hop_seconds and self.hop_seconds > self.window_seconds:
            raise ConfigError(
                f"the hop of {self.hop_seconds:g} s is longer than the clips of {self.window_seconds:g} s: "
                f"what lies between would not be heard"
            )

    @property
    def window_seconds(self) -> float:
        """How long the clips are that a long recording is cut into."""
        return WINDOW_SECONDS if self.clip_seconds is None else self.clip_seconds

    def stretches(self, seconds: float) -> list[tuple[float, float]]:
        """Return ``(start, seconds)`` of each clip of a recording; none where it is one clip.

        The last clip ends where the recording does, so that all are equally long and nothing is lost.
        """
        longest = WHOLE_SECONDS if self.clip_seconds is None else self.clip_seconds
        window, hop = self.window_seconds, self.hop_seconds or self.window_seconds
        if not longest or seconds <= longest:
            return []
        last = seconds - window
        count = math.floor(last / hop + 1e-9) + 1
        starts = [number * hop for number in range(count)]
        if last - starts[-1] > 1e-3:
            starts.append(last)
        return [(start, window) for start in starts]


def cut(clips: Iterable[Clip], cutting: Cutting) -> Iterator[Clip]:
    """Yield `clips`, those of long recordings as one clip a window.

    A recording that cannot be opened stays one clip: whoever reads it will be told why.
    """
    for clip in clips:
        if clip.row is not None or clip.stretch is not None:
            yield clip
            continue
        try:
            seconds = audio.describe(clip.path).seconds
        except AudioError:
            seconds = 0.0
        stretches = cutting.stretches(seconds)
        yield from (windowed(clip, *stretch) for stretch in stretches)
        if not stretches:
            yield clip


def windowed(clip: Clip, start: float, seconds: float) -> Clip:
    """Return the part of a recording as a clip, called as media fragments are: ``a.wav#t=600,610``."""
    name = f"{clip.name}#t={_seconds(start)},{_seconds(start + seconds)}"
    return replace(clip, stretch=(start, seconds), name=name)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
