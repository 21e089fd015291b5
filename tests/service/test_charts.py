"""The chart of a machine: its lines break where nothing was heard, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from thrum.service.config import Settings
from thrum.service.store.people import Person
from thrum.service.web import words
from watched import MACHINE, MakeService


def rows(*at: float) -> list[dict[str, Any]]:
    return [
        {"at": moment, "p": 0.5, "score": 2.0, "clip": number} for number, moment in enumerate(at)
    ]


@pytest.mark.parametrize(
    ("every", "at", "breaks"),
    [
        ("10s", (0.0, 10.0, 40.0, 50.0), []),  # three clips are missing: late begins beyond
        ("10s", (0.0, 10.0, 41.0, 600.0), [25.5, 320.5]),
        ("5min", (0.0, 300.0, 600.0, 1501.0), [1050.5]),
        ("10s", (), []),
    ],
)
def test_lines_break_where_the_input_was_late(
    make_service: MakeService, settings: Settings, every: str, at: tuple[float, ...], breaks: Any
) -> None:
    from thrum.service.web.pages.charts import chart_of
    from thrum.service.web.pages.frame import Visit

    service = make_service(inputs=tuple(replace(each, every=every) for each in settings.inputs))
    visit = Visit(service, Person("ada", "viewer"), words.speaker("en"), "en")
    options = chart_of(visit, service.settings.machine(MACHINE), rows(*at), [])  # type: ignore[arg-type]
    for series, value in zip(options["series"], (0.5, 2.0), strict=True):
        expected = [[1000 * moment, value, number] for number, moment in enumerate(at)]
        expected += [[1000 * moment, None, None] for moment in breaks]
        assert series["data"] == sorted(expected, key=lambda point: point[0])
