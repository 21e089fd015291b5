"""Learning curves as a picture: SVG that needs nothing, legible on light and dark ground."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from thrum.evaluation.pages import environment

WIDTH, HEIGHT = 760.0, 416.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 556.0, 34.0, 368.0  # of the field; names stand to its right
NAME_HEIGHT = 17.0  # between two names, at least
ALL_AFTER = 0.9  # how far "all" stands behind the last number, in units of ln(clips)


@dataclass(frozen=True)
class LearningCurves:
    """What scores come to with more and more normal clips.

    Parameters
    ----------
    title
        For those who cannot see the picture.
    measure
        What the values are, ``AUC``.
    clips
        Numbers of normal clips, from few to many, and ``all``.
    lines
        Mean and deviation in percent, by method and number of clips, in the order to draw; a method
        without a number keeps its colour and is not drawn.
    told
        What they say, in a sentence.
    """

    title: str
    measure: str
    clips: tuple[str, ...]
    lines: Mapping[str, Mapping[str, tuple[float, float]]]
    told: str = ""


@dataclass(frozen=True)
class Place:
    """One point of a line: how many clips, where it is drawn, and its numbers in percent."""

    clips: str
    x: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Line:
    """One method.

    Parameters
    ----------
    name
        What stands at its end.
    kind
        Which colour, 0 to 7.
    places
        From few clips to many.
    name_y
        Where its name stands.
    """

    name: str
    kind: int
    places: tuple[Place, ...]
    name_y: float


@dataclass(frozen=True)
class Picture:
    """What is drawn of `LearningCurves`.

    Parameters
    ----------
    title, measure
        For those who cannot see it, and what the values are.
    lines
        Of the methods, in the order of the table.
    clips
        The numbers of clips, and where they stand.
    low, high
        Of the values, in percent.
    """

    title: str
    measure: str
    lines: tuple[Line, ...]
    clips: tuple[tuple[str, float], ...]
    low: float
    high: float

    def y(self, value: float) -> float:
        """Return where a value stands; what lies below or above the field stands at its edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(BOTTOM - share * (BOTTOM - TOP), 2)

    @property
    def ticks(self) -> list[int]:
        """The values that have a line."""
        step = 5 if self.high - self.low <= 25 else 10
        return list(range(math.ceil(self.low / step) * step, int(self.high) + 1, step))

    def path(self, line: Line) -> str:
        """Return the line through the means."""
        return "M" + " L".join(f"{place.x} {self.y(place.mean)}" for place in line.places)

    def band(self, line: Line) -> str:
        """Return the outline of what lies within the deviation."""
        upper = [(place.x, place.mean + place.deviation) for place in line.places]
        lower = [(place.x, place.mean - place.deviation) for place in reversed(line.places)]
        return "M" + " L".join(f"{x} {self.y(value)}" for x, value in (*upper, *lower)) + " Z"


def picture(curves: LearningCurves) -> Picture | None:
    """Return what is drawn; None where no line has a number."""
    stand = dict(_stand(curves.clips))
    lines = [
        Line(
            name,
            number % 8,
            tuple(
                Place(clips, stand[clips], *own[clips]) for clips in curves.clips if clips in own
            ),
            name_y=0.0,
        )
        for number, (name, own) in enumerate(curves.lines.items())
    ]
    lines = [line for line in lines if line.places]
    if not lines:
        return None
    values = [
        place.mean + sign * place.deviation
        for line in lines
        for place in line.places
        for sign in (-1, 1)
    ]
    low = 5.0 * math.floor(min(min(values), 90.0) / 5)
    high = 5.0 * math.ceil(min(max(values), 100.0) / 5)
    bare = Picture(curves.title, curves.measure, (), tuple(stand.items()), low, high)
    apart = _apart({n: bare.y(line.places[-1].mean) for n, line in enumerate(lines)})
    named = tuple(replace(line, name_y=apart[number]) for number, line in enumerate(lines))
    return replace(bare, lines=named)


def svg(curves: LearningCurves) -> str | None:
    """Return `picture` as SVG."""
    drawn = picture(curves)
    if drawn is None:
        return None
    templates = environment("thrum.evaluation")
    return templates.get_template("curve.svg.j2").render(
        picture=drawn,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
    )


def _stand(clips: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield where each number of clips stands: logarithmic, ``all`` a step behind the last."""
    numbers = [int(one) for one in clips if one != "all"]
    ends = [math.log(one) for one in numbers] or [0.0]
    at = {str(one): math.log(one) for one in numbers}
    if "all" in clips:
        at["all"] = ends[-1] + ALL_AFTER
    first, last = min(at.values()), max(at.values())
    inset = 14.0
    for one in clips:
        share = (at[one] - first) / ((last - first) or 1.0)
        yield one, round(LEFT + inset + share * (RIGHT - LEFT - 2 * inset), 2)


def _apart(wanted: Mapping[int, float]) -> dict[int, float]:
    """Return heights near those wanted, at least `NAME_HEIGHT` from each other and inside the field."""
    order = sorted(wanted, key=lambda number: wanted[number])
    heights = [wanted[number] for number in order]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + NAME_HEIGHT)
    floor = BOTTOM
    for index in reversed(range(len(heights))):
        heights[index] = min(heights[index], floor)
        floor = heights[index] - NAME_HEIGHT
    return dict(zip(order, (round(one, 2) for one in heights), strict=True))
