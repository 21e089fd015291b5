"""How the service is, for programs: health, metrics of Prometheus, machines and alarms as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from thrum.service.running import Service
from thrum.service.store import clips, outbox, people, views

Families = Iterator[GaugeMetricFamily | CounterMetricFamily]


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["status"])
    registry = CollectorRegistry()
    registry.register(Figures(service))

    @routes.get("/health")
    async def health() -> Response:
        """Say whether the service works; 503 where it does not. Nothing else is told to strangers."""
        well = not service.ills and await run_in_threadpool(_answers, service)
        content = json.dumps({"status": "well" if well else "in trouble"})
        return Response(content, 200 if well else 503, media_type="application/json")

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Return figures for Prometheus; wants a session or the token of a machine."""
        if request.scope.get("thrum_person") is None:
            held = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
            if not await run_in_threadpool(_holds_token, service, held):
                raise HTTPException(401, "wanted the header Authorization: Bearer TOKEN")
        content = await run_in_threadpool(generate_latest, registry)
        return Response(content, media_type=CONTENT_TYPE_LATEST)

    @routes.get("/api/v1/machines")
    async def machines() -> list[dict[str, Any]]:
        """Return how all machines are, worst first."""

        def look() -> list[dict[str, Any]]:
            with service.database.reading() as connection:
                return [
                    {
                        "name": view.name,
                        "title": service.settings.machine(view.name).title,
                        "state": view.state,
                        "since": view.since,
                        "heard_at": view.heard_at,
                        "input": view.hearing,
                        "score": view.score,
                        "p": view.p,
                        "drift": view.drift,
                        "alarm": view.alarm,
                        "judged": view.judged,
                    }
                    for view in views.fleet(connection, list(service.watched))
                ]

        return await run_in_threadpool(look)

    @routes.get("/api/v1/alarms")
    async def alarms() -> list[dict[str, Any]]:
        """Return the last alarms, the latest first."""

        def look() -> list[dict[str, Any]]:
            with service.database.reading() as connection:
                return [dict(row) for row in views.alarms_of(connection)]

        return await run_in_threadpool(look)

    return routes


class Figures(Collector):
    """What Prometheus is told, looked up when it asks."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def describe(self) -> Families:
        """Say nothing beforehand: what there is is known when it is looked up."""
        return iter(())

    def collect(self) -> Families:
        """Yield all figures."""
        service, now = self.service, self.service.intake.now()
        with service.database.reading() as connection:
            fleet = views.fleet(connection, list(service.watched))
            sources = views.all_inputs(connection, list(service.inputs))
            waiting = clips.count_waiting(connection)
            unsent = outbox.count_unsent(connection)
        score = GaugeMetricFamily(
            "thrum_score", "Anomaly score of the last clip", labels=["machine"]
        )
        p = GaugeMetricFamily("thrum_p_value", "p-value of the last clip", labels=["machine"])
        lag = GaugeMetricFamily(
            "thrum_seconds_since_heard", "Since the end of the last clip judged", labels=["machine"]
        )
        state = GaugeMetricFamily(
            "thrum_machine_state",
            "1 for the state that the machine is in",
            labels=["machine", "state"],
        )
        judged = CounterMetricFamily("thrum_judged_clips", "Clips judged", labels=["machine"])
        for view in fleet:
            if view.score is not None:
                score.add_metric([view.name], view.score)
            if view.p is not None:
                p.add_metric([view.name], view.p)
            if view.heard_at is not None:
                lag.add_metric([view.name], max(0.0, now - view.heard_at))
            for word in views.WORST_FIRST:
                state.add_metric([view.name, word], float(view.state == word))
            judged.add_metric([view.name], view.judged)
        yield from (score, p, lag, state, judged)
        health = GaugeMetricFamily(
            "thrum_input_health", "1 for the health of the input", labels=["input", "health"]
        )
        refused = CounterMetricFamily(
            "thrum_refused_recordings", "Recordings that could not be used", labels=["input"]
        )
        for row in sources:
            health.add_metric([row["name"], row["health"]], 1.0)
            refused.add_metric([row["name"]], row["refused"])
        yield from (health, refused)
        yield GaugeMetricFamily("thrum_waiting_clips", "Clips not judged yet", value=waiting)
        box = GaugeMetricFamily("thrum_unsent_events", "Events not sent yet", labels=["channel"])
        for channel, count in unsent.items():
            box.add_metric([channel], count)
        yield box


def _answers(service: Service) -> bool:
    try:
        with service.database.reading() as connection:
            clips.count_waiting(connection)
    except SQLAlchemyError:
        return False
    return True


def _holds_token(service: Service, held: str) -> bool:
    with service.database.reading() as connection:
        return bool(held) and people.token_of(connection, held) is not None
