"""One machine: its scores, its alarms, the sound of a clip and what is strange in it, and what people say of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from nicegui import run, ui
from nicegui.events import GenericEventArguments
from sqlalchemy import RowMapping
from starlette.requests import Request

from thrum.errors import UsageError
from thrum.sentences import said
from thrum.service import answers
from thrum.service.running import Service
from thrum.service.store import views
from thrum.service.store.views import MachineView
from thrum.service.web import explaining, words
from thrum.service.web.pages import drawing, strange
from thrum.service.web.pages.charts import chart_of
from thrum.service.web.pages.frame import Visit, frame, html, refreshed

SHOWN = 600
"""Clips of the chart."""


@dataclass(frozen=True)
class Seen:
    """What the page shows of a machine."""

    view: MachineView
    judged: tuple[RowMapping, ...]
    alarms: tuple[RowMapping, ...]
    hours: dict[str, float]


def add(service: Service) -> None:
    """Add the page."""

    @ui.page("/machine/{name:path}")
    def machine(request: Request, name: str) -> None:
        with frame(service, request, "machine") as visit:
            if name not in service.watched:
                html(f'<h1 class="t">{escape(name)}</h1><p>404</p>')
                return
            MachinePage(visit, name)


class MachinePage:
    """The page of one machine, open in a browser."""

    def __init__(self, visit: Visit, name: str) -> None:
        self.visit = visit
        self.name = name
        self.settings = visit.service.settings.machine(name)
        self.clip: int | None = None
        self.seen = self._look()
        self.head = html("").classes("w-full")
        self.asked = ui.element("div").classes("w-full")
        with ui.element("div").classes("t-card"):
            self.chart = ui.echart(
                chart_of(visit, self.settings, self.seen.judged, self.seen.alarms)
            )
            self.chart.classes("w-full").style("height: 320px")
            self.chart.on_point_click(lambda event: self._chosen(event.data))
            html(f'<div class="t-small t-soft">{escape(visit.say("choose_clip"))}</div>')
        self.sound = ui.element("div").classes("w-full")
        with ui.element("div").classes("t-two"):
            self.alarms = html("").classes("t-card")
            self.about = html("").classes("t-card")
        self._alarm: tuple[str | None, str] = (None, "")
        refreshed(visit, self._look, self._show)
        self._start_with()

    def _look(self) -> Seen:
        service = self.visit.service
        now = service.intake.now()
        with service.database.reading() as connection:
            view = views.machine(connection, self.name)
            assert view is not None
            return Seen(
                view,
                tuple(views.judged(connection, self.name, SHOWN)),
                tuple(views.alarms_of(connection, self.name, 20)),
                views.hours_in(connection, self.name, now - 7 * 86400, now),
            )

    def _show(self, seen: Seen) -> None:
        say, visit = self.visit.say, self.visit
        self.seen = seen
        view = seen.view
        now = visit.service.intake.now()
        heard = (
            say("never_heard")
            if view.heard_at is None
            else say("last_heard", words.span(say, max(0.0, now - view.heard_at)))
        )
        drift = f" · <b>{escape(say('drift'))}</b>" if view.drift else ""
        self.head.set_content(
            f'<div class="t-row s-{view.state}"><div><h1 class="t">{escape(self.settings.title or self.name)}</h1>'
            f'<div class="t-soft t-small">{escape(self.name)} · {escape(heard)} · p {drawing.figure(view.p)}{drift}</div></div>'
            f'<div style="font-size:1.15rem" role="status">{drawing.state(view.state, say)} '
            f'<span class="t-small t-soft">{escape(say("since", drawing.moment(view.since)))}</span></div></div>'
        )
        self.chart.options.clear()
        self.chart.options.update(chart_of(visit, self.settings, seen.judged, seen.alarms))
        self.chart.update()
        self.alarms.set_content(_alarms(visit, seen))
        self.about.set_content(_about(visit, self.name, seen))
        self._ask(view)

    def _ask(self, view: MachineView) -> None:
        """Show the buttons by which an alarm is answered, where there is one."""
        if self._alarm == (view.alarm, view.state):
            return
        self._alarm = (view.alarm, view.state)
        self.asked.clear()
        if view.alarm is None:
            return
        say = self.visit.say
        with self.asked, ui.element("div").classes(f"t-card t-trouble s-{view.state}"):
            html(f'<h2 class="t">{drawing.state(view.state, say)}</h2>')
            comment = ui.input(say("comment")).props("outlined dense").classes("w-full")
            with ui.element("div").classes("t-buttons").style("margin-top:.8rem"):
                choices = (
                    ("acknowledge", "heard", "outline color=primary"),
                    ("confirmed_fault", "fault", "unelevated color=negative"),
                    ("false_alarm", "false alarm", "outline color=primary"),
                    ("this_is_normal", "normal", "outline color=primary"),
                )
                for key, what, look in choices[view.state == "acknowledged" :]:
                    ui.button(
                        say(key),
                        on_click=lambda _, what=what: self._answer(what, comment.value or ""),
                    ).props(f"no-caps {look}").mark(what)

    def _answer(self, what: Any, comment: str) -> None:
        visit, alarm = self.visit, self._alarm[0]
        if not visit.allowed("operator"):
            return
        service = visit.service
        with service.database.writing() as connection:
            row = views.alarm(connection, alarm or "")
            numbers = [row["clip"]] if row is not None and what in ("fault", "normal") else []
            try:
                answers.ask(
                    connection,
                    self.name,
                    what,
                    who=visit.person.name,
                    now=service.intake.now(),
                    alarm=alarm,
                    clip_numbers=numbers,
                    comment=comment,
                )
            except UsageError as error:
                ui.notify(words.translated(visit.language, said(error)), type="warning")
                return
        service.intake.arrived.set()
        ui.notify(visit.say("thanks"), type="positive")

    def _start_with(self) -> None:
        """Open the clip that raised the last alarm, or the last one judged."""
        if self.seen.alarms:
            self._open(int(self.seen.alarms[0]["clip"]))
        elif self.seen.judged:
            self._open(int(self.seen.judged[-1]["clip"]))

    def _chosen(self, data: Any) -> None:
        if isinstance(data, dict):
            data = data.get("value")
        if isinstance(data, list) and len(data) > 2 and isinstance(data[2], int):
            self._open(data[2])

    def _open(self, number: int) -> None:
        self.clip = number
        visit, say = self.visit, self.visit.say
        with visit.service.database.reading() as connection:
            row = views.clip(connection, number)
        self.sound.clear()
        if row is None or row["machine"] != self.name:
            return
        with self.sound, ui.element("div").classes("t-card"):
            html(strange.clip_head(visit, row))
            if row["path"] is None:
                html(f'<p class="t-soft">{escape(say("no_audio"))}</p>')
                return
            shown = html(strange.player(visit, number)).classes("w-full")
            told = explaining.known(visit.service, number)
            if told is not None:
                shown.set_content(strange.explained(visit, number, told))
                return
            with ui.element("div").classes("t-buttons") as buttons:
                button = ui.button(say("explain"), icon="troubleshoot").props(
                    "no-caps outline color=primary id=explain"
                )
                if visit.person.may("operator"):
                    ui.button(
                        say("this_is_normal"),
                        icon="done_all",
                        on_click=lambda: self._normal(number),
                    ).props("no-caps flat color=primary")

            async def explain(_: GenericEventArguments | None = None) -> None:
                button.disable()
                button.props("loading")
                found = await run.io_bound(explaining.explain, visit.service, number)
                if found is None or shown.is_deleted:  # stopped, or the person has gone on
                    return
                if not isinstance(found, dict):
                    ui.notify(say(words.translated(visit.language, found)), type="warning")
                    button.props(remove="loading")
                    return
                shown.set_content(strange.explained(visit, number, found))
                buttons.delete()

            button.on_click(explain)

    def _normal(self, number: int) -> None:
        visit = self.visit
        if not visit.allowed("operator"):
            return
        with visit.service.database.writing() as connection:
            answers.ask(
                connection,
                self.name,
                "normal",
                who=visit.person.name,
                now=visit.service.intake.now(),
                clip_numbers=[number],
            )
        visit.service.intake.arrived.set()
        ui.notify(visit.say("thanks"), type="positive")


def _alarms(visit: Visit, seen: Seen) -> str:
    say = visit.say
    head = f'<h2 class="t">{escape(say("alarms"))}</h2>'
    if not seen.alarms:
        return f'{head}<p class="t-soft">{escape(say("no_alarms"))}</p>'
    rows = [
        [
            escape(drawing.moment(row["raised_at"])),
            f'<span class="t-num">{drawing.figure(row["p"])}</span>',
            escape(drawing.moment(row["acknowledged_at"])),
            escape(say(row["verdict"]) if row["verdict"] else "–"),
        ]
        for row in seen.alarms
    ]
    names = ("raised", "p_value", "acknowledged", "verdict")
    return head + drawing.table([say(name) for name in names], rows)


def _about(visit: Visit, name: str, seen: Seen) -> str:
    say = visit.say
    total = sum(seen.hours.values()) or math.inf
    bar = "".join(
        f'<i class="s-{escape(state)}" style="flex:{hours / total:.4f}" title="{escape(say(state))} {escape(words.long(say, hours))}"></i>'
        for state, hours in seen.hours.items()
    )
    listed = "".join(
        f'<div class="t-row t-small">{drawing.state(state, say, chip=True)}<span class="t-num">{escape(words.long(say, hours))}</span></div>'
        for state, hours in sorted(seen.hours.items(), key=lambda each: -each[1])
    )
    promises = "".join(
        f'<p class="t-small">{escape(drawing.operating(state, say))}: '
        f"{escape(words.translated(visit.language, promise))}</p>"
        for state, promise in visit.service.watched[name].monitor.promises.items()
    )
    return (
        f'<h2 class="t">{escape(say("hours"))}</h2><div class="t-hours">{bar}</div>'
        f'<div style="display:grid;gap:.3rem;margin:.7rem 0 1.1rem">{listed}</div>'
        f'<h2 class="t">{escape(say("promise"))}</h2><div class="t-soft">{promises}</div>'
    )
