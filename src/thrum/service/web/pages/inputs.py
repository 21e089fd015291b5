"""What brings sound, and how each input is."""

from __future__ import annotations

from html import escape

from nicegui import ui
from sqlalchemy import RowMapping
from starlette.requests import Request

from thrum.sentences import told
from thrum.service.running import Service
from thrum.service.store import views
from thrum.service.web import words
from thrum.service.web.pages import drawing
from thrum.service.web.pages.frame import Visit, frame, html, refreshed


def add(service: Service) -> None:
    """Add the page."""

    @ui.page("/inputs")
    def inputs(request: Request) -> None:
        with frame(service, request, "inputs") as visit:
            shown = html("").classes("w-full")

            def show(content: str) -> None:
                shown.set_content(content)

            refreshed(visit, lambda: _drawn(visit), show)


def _drawn(visit: Visit) -> str:
    service, say = visit.service, visit.say
    kinds = {each.name: each for each in service.settings.inputs}
    with service.database.reading() as connection:
        rows = views.all_inputs(connection, list(kinds))
        past = {row["name"]: views.health_history(connection, row["name"], 6) for row in rows}
    now = service.intake.now()
    cells = []
    for row in rows:
        machine = service.settings.machine(row["machine"])
        heard = (
            say("never_heard")
            if row["heard_at"] is None
            else words.span(say, max(0.0, now - row["heard_at"]))
        )
        level = "–" if row["level_db"] is None else f"{row['level_db']:.0f} dB"
        history = "".join(
            f'<div class="t-small t-soft">{escape(_line(visit, each))}</div>'
            for each in past[row["name"]][1:]
        )
        why = words.translated(visit.language, told(row["detail"]))
        detail = f'<div class="t-small t-soft">{escape(why)}</div>' if why else ""
        cells.append(
            [
                f"<b>{escape(row['name'])}</b>",
                f"{drawing.health(row['health'], say)}{detail}",
                f'<a href="/machine/{escape(row["machine"])}">{escape(machine.title or machine.name)}</a>',
                escape(heard),
                f'<span class="t-num">{level}</span>',
                f'<span class="t-num">{row["clips"]}</span>',
                f'<span class="t-num">{row["refused"]}</span>',
                escape(say(kinds[row["name"]].kind)),
                history,
            ]
        )
    names = ("input", "health", "machine", "last", "level", "clips", "refused", "kind", "history")
    table = drawing.table([say(name) for name in names], cells)
    return f'<h1 class="t" style="margin-bottom:1rem">{escape(say("inputs"))}</h1><div class="t-card">{table}</div>'


def _line(visit: Visit, row: RowMapping) -> str:
    """Return how an input was at a time, and why."""
    why = words.translated(visit.language, told(row["detail"]))
    line = f"{drawing.moment(row['begun_at'])[11:]} {visit.say(row['health'])}"
    return f"{line}: {why}" if why else line
