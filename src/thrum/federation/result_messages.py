"""The messages of what comes down to a site, and of what it says to that; see `thrum.federation.messages`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from thrum.federation.messages import Count, Dimensions, Frames, Line, Name, Settings, checked_name

ScoreColumn = Annotated[list[float], Meta(max_length=200_000)]
FlagColumn = Annotated[list[bool], Meta(max_length=200_000)]


class ClassifierQuestion(msgspec.Struct, frozen=True):
    """Keep this ID classifier (Algorithm 1).

    Parameters
    ----------
    state
        Its arrays by name: those that its description asks for, no others, finite.
    description
        What it is.
    """

    state: Annotated[dict[Line, np.ndarray[Any, Any]], Meta(max_length=100_000)]
    description: ClassifierDescription


class ClassifierDescription(msgspec.Struct, frozen=True):
    """An ID classifier.

    Parameters
    ----------
    group
        The machines that learnt together: ``all``, or a machine type.
    keys
        Its classes; those of other sites without their names.
    dimensions, frames, hop
        D, T of one input, and frames from one input to the next.
    config
        The settings it was trained with; they name registered things only.
    places
        Of the site's own classes, which network has not seen which clip; of others 0.
    """

    group: Name
    keys: Annotated[
        list[tuple[Annotated[str, Meta(max_length=80)], Name]],
        Meta(min_length=2, max_length=100_000),
    ]
    dimensions: Dimensions
    frames: Frames
    config: Settings
    hop: Frames | None = None
    places: Annotated[list[Count], Meta(max_length=100_000)] | None = None

    def __post_init__(self) -> None:
        checked_name(self.group)


class ScoresMessage(msgspec.Struct, frozen=True):
    """The scores of one machine's clips in the classifier's embedding (Algorithm 2).

    Parameters
    ----------
    key
        The machine and machine ID.
    left_out
        Of the training clips, each scored as if it had not been trained on.
    test
        Of the test clips.
    held_out
        Whether the left-out scores come from networks that had not seen the clips.
    train_identified, test_identified
        Whether the classifier names the machine ID of each clip rightly.
    """

    key: tuple[Name, Name]
    left_out: ScoreColumn
    test: ScoreColumn
    held_out: bool
    train_identified: FlagColumn
    test_identified: FlagColumn

    def __post_init__(self) -> None:
        for part in self.key:
            checked_name(part)


class ScoresQuestion(msgspec.Struct, frozen=True):
    """Keep these scores (Algorithm 2).

    Parameters
    ----------
    scores
        Of one machine.
    """

    scores: ScoresMessage


class Acknowledgement(msgspec.Struct, frozen=True):
    """That something has come down.

    Parameters
    ----------
    what
        In words.
    accepted
        Whether the site keeps it; why not, it does not say.
    """

    what: Line
    accepted: bool
