"""The example for Grafana asks for figures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from thrum.service.store import views
from thrum.service.web.status import Figures
from watched import MakeService, Sounds, bring, judge_all

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "machines.json"


def test_the_dashboard_asks_for_figures_and_states_that_there_are(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    bring(service, sounds("w"))
    judge_all(service)
    registry = CollectorRegistry()
    registry.register(Figures(service))
    told = generate_latest(registry).decode()
    samples = {
        sample.name for family in text_string_to_metric_families(told) for sample in family.samples
    }
    samples |= {family.name for family in text_string_to_metric_families(told)}
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    names = set(re.findall(r"thrum_\w+", asked))
    assert len(names) >= 8
    assert names <= samples
    assert set(re.findall(r'state="([^"]+)"', asked)) <= set(views.WORST_FIRST)
