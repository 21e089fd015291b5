"""What a monitor says of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

from thrum.types import Clip

State = Literal["well", "suspicious", "alarm", "unknown state", "off", "no sound"]


@dataclass(frozen=True)
class Judgement:
    """What a monitor says of one clip.

    Parameters
    ----------
    clip
        Which one.
    score
        As the run would have it; None where there is no sound to score.
    p
        The conformal p-value: the share of normal clips, this one among them, that are at least as strange.
    state
        ``well``; ``suspicious``, strange as few normal clips are; ``alarm``, as the rule has it;
        ``unknown state``, nothing like any sound that it knows; ``off``; ``no sound``.
    operating
        The operating state of the machine that it was judged in.
    since
        Clips that an alarm's evidence comes from, this one included; 0 without an alarm.
    drift
        Whether all clips have been a little stranger than normal for long.
    notes
        What else a reader must know.
    among
        The operating state whose normal clips the stream ranked it among; empty where the stream did not
        hear it.
    """

    clip: Clip
    score: float | None
    p: float | None
    state: State
    operating: str
    since: int = 0
    drift: bool = False
    notes: tuple[str, ...] = ()
    among: str = ""

    @property
    def file(self) -> str:
        """The file."""
        return str(self.clip.path)

    @property
    def start_seconds(self) -> float | None:
        """Where in its file the clip begins; None for a whole file."""
        return self.clip.stretch[0] if self.clip.stretch else None


@dataclass(frozen=True)
class Judgements(Sequence[Judgement]):
    """What a monitor says of clips, in their order.

    Parameters
    ----------
    of
        One a clip.
    refused
        Recordings that cannot be used, each with the reason.
    left_out
        What lay among them and is none, or of another machine, each with the reason.
    """

    of: tuple[Judgement, ...]
    refused: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.of)

    @overload
    def __getitem__(self, index: int) -> Judgement: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Judgement]: ...

    def __getitem__(self, index: int | slice) -> Judgement | Sequence[Judgement]:
        return self.of[index]

    @property
    def alarm(self) -> bool:
        """Whether an alarm is on after the last clip, or was on at any."""
        return any(judgement.state == "alarm" for judgement in self.of)
