"""A learning curve as a picture: what stands where, and that it can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from thrum.evaluation import curves

CURVES = curves.LearningCurves(
    "short: AUC",
    "AUC",
    ("2", "10", "50", "all"),
    {
        "first": {"2": (70.0, 4.0), "10": (80.0, 2.0), "50": (90.0, 1.0), "all": (94.0, 0.0)},
        "nothing": {},
        "a < b": {"2": (90.0, 1.0), "all": (94.2, 0.0)},
    },
)


@pytest.fixture
def picture() -> curves.Picture:
    found = curves.picture(CURVES)
    assert found is not None
    return found


def test_clips_stand_by_their_logarithm_and_all_behind_them(picture: curves.Picture) -> None:
    (two, ten, fifty, every) = (x for _, x in picture.clips)
    assert ten - two == pytest.approx(fifty - ten, abs=0.1)  # five times as many each
    assert every > fifty
    assert curves.LEFT < two < every < curves.RIGHT


def test_higher_is_better_and_nothing_leaves_the_field(picture: curves.Picture) -> None:
    assert (picture.low, picture.high) == (65.0, 95.0)
    assert picture.y(65.0) == curves.BOTTOM
    assert picture.y(95.0) == curves.TOP
    assert picture.y(80.0) == (curves.TOP + curves.BOTTOM) / 2
    assert picture.y(20.0) == curves.BOTTOM
    assert picture.ticks == [70, 80, 90]


def test_lines_are_those_of_rows_that_are_drawn_with_what_was_measured(
    picture: curves.Picture,
) -> None:
    assert [line.name for line in picture.lines] == ["first", "a < b"]
    first, second = picture.lines
    assert [(place.clips, place.mean) for place in first.places] == [
        ("2", 70.0),
        ("10", 80.0),
        ("50", 90.0),
        ("all", 94.0),
    ]
    assert [place.clips for place in second.places] == ["2", "all"]
    band = re.findall(r"[\d.]+ ([\d.]+)", picture.band(first))
    assert float(band[0]) == picture.y(74.0)
    assert float(band[-1]) == picture.y(66.0)
    assert (first.kind, second.kind) == (0, 2)  # a line that is not drawn keeps its colour


def test_names_that_would_overlap_are_moved_apart(picture: curves.Picture) -> None:
    heights = sorted(line.name_y for line in picture.lines)
    assert all(below - above >= curves.NAME_HEIGHT - 0.02 for above, below in pairwise(heights))
    many = dict.fromkeys(range(8), 350.0)
    apart = curves._apart(many)
    assert max(apart.values()) <= curves.BOTTOM
    assert len({round(height / curves.NAME_HEIGHT) for height in apart.values()}) == 8


def test_the_svg_is_whole_and_needs_nothing() -> None:
    text = curves.svg(CURVES)
    assert text is not None
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    titles = [one.text for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "a < b, 2 clips: 90.0 ± 1.0" in titles
    assert len(titles) == 6
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"(?:href|src|url)\b", text) == []


def test_nothing_measured_is_no_picture() -> None:
    assert curves.svg(curves.LearningCurves("none", "AUC", ("2", "all"), {"first": {}})) is None
