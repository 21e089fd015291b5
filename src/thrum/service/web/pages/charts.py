"""The chart of a machine: p-values and scores over time, what is suspicious, where alarms began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping

from thrum.service.config import MachineSettings
from thrum.service.health import LATE_FACTOR
from thrum.service.web.pages import drawing
from thrum.service.web.pages.frame import Visit

SOFT, ALARM, LINE, SCORE = "#7a8594", "#d2500f", "#2f77c8", "#a855ad"


def chart_of(
    visit: Visit,
    settings: MachineSettings,
    judged: Sequence[RowMapping],
    alarms: Sequence[RowMapping],
) -> dict[str, Any]:
    """Return the options of an ECharts chart; each point is [time, value, number of the clip].

    Where nothing was heard for so long that the inputs were late, the lines break.
    """
    say = visit.say
    limit = settings.alarms.suspicious
    inputs = visit.service.settings.inputs
    every = [each.every_seconds for each in inputs if each.machine == settings.name]
    longest = LATE_FACTOR * max(every, default=math.inf)

    def points(key: str) -> list[list[Any]]:
        drawn: list[list[Any]] = []
        last = math.inf
        for row in judged:
            if row["at"] - last > longest:
                drawn.append([round(500 * (row["at"] + last)), None, None])
            last = row["at"]
            value = row[key]
            if value is not None:
                value = round(max(value, drawing.LOWEST_P) if key == "p" else value, 6)
            drawn.append([round(1000 * last), value, row["clip"]])
        return drawn

    text = {"color": SOFT, "fontSize": 11}
    axis = {"axisLabel": text, "axisLine": {"lineStyle": {"color": SOFT}}, "nameTextStyle": text}
    first = judged[0]["at"] if judged else 0.0
    marks = [
        {"xAxis": round(1000 * row["raised_at"]), "name": say("alarm")}
        for row in alarms
        if row["raised_at"] >= first
    ]
    return {
        "animation": False,
        "grid": [
            {"left": 62, "right": 20, "top": 30, "height": 130},
            {"left": 62, "right": 20, "top": 200, "height": 56},
        ],
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "line"}},
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "dataZoom": [
            {"type": "inside", "xAxisIndex": [0, 1]},
            {"type": "slider", "xAxisIndex": [0, 1], "height": 18, "bottom": 8, "textStyle": text},
        ],
        "xAxis": [
            {"type": "time", "gridIndex": 0, **axis, "axisLabel": {"show": False}},
            {"type": "time", "gridIndex": 1, **axis, "axisLabel": {**text, "hideOverlap": True}},
        ],
        "yAxis": [
            {
                "type": "log",
                "gridIndex": 0,
                "inverse": True,
                "min": drawing.LOWEST_P,
                "max": 1,
                "name": say("p_value"),
                "nameLocation": "start",
                "splitLine": {"lineStyle": {"color": SOFT, "opacity": 0.18}},
                **axis,
            },
            {
                "type": "value",
                "gridIndex": 1,
                "scale": True,
                "name": say("score"),
                "splitNumber": 2,
                "splitLine": {"lineStyle": {"color": SOFT, "opacity": 0.18}},
                **axis,
            },
        ],
        "series": [
            {
                "type": "line",
                "name": say("p_value"),
                "data": points("p"),
                "symbol": "circle",
                "symbolSize": 6,
                "lineStyle": {"width": 1.5, "color": LINE},
                "itemStyle": {"color": LINE},
                "markLine": {
                    "silent": True,
                    "symbol": "none",
                    "data": [
                        {
                            "yAxis": limit,
                            "lineStyle": {"color": SOFT, "type": "dashed"},
                            "label": {
                                "formatter": say("threshold", f"{limit:g}"),
                                "position": "insideStartTop",
                                "color": SOFT,
                            },
                        },
                        *(
                            {
                                **mark,
                                "lineStyle": {"color": ALARM, "width": 2, "type": "solid"},
                                "label": {
                                    "formatter": say("alarm"),
                                    "color": ALARM,
                                    "fontWeight": "bold",
                                },
                            }
                            for mark in marks
                        ),
                    ],
                },
            },
            {
                "type": "line",
                "name": say("score"),
                "xAxisIndex": 1,
                "yAxisIndex": 1,
                "data": points("score"),
                "symbol": "circle",
                "symbolSize": 3,
                "lineStyle": {"width": 1.3, "color": SCORE},
                "itemStyle": {"color": SCORE},
            },
        ],
    }
