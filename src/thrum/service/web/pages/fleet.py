"""All machines, the worst first."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from thrum.service.running import Service
from thrum.service.store import views
from thrum.service.store.views import MachineView
from thrum.service.web import words
from thrum.service.web.pages import drawing
from thrum.service.web.pages.frame import Visit, frame, html, refreshed


def add(service: Service) -> None:
    """Add the page."""

    @ui.page("/")
    def fleet(request: Request) -> None:
        with frame(service, request, "fleet") as visit:
            shown = html("")

            def look() -> str:
                return _drawn(visit)

            def show(content: str) -> None:
                shown.set_content(content)

            shown.classes("w-full")
            refreshed(visit, look, show)


def _drawn(visit: Visit) -> str:
    service, say = visit.service, visit.say
    with service.database.reading() as connection:
        fleet = views.fleet(connection, list(service.watched))
    now = service.intake.now()
    counts = {state: sum(view.state == state for view in fleet) for state in views.WORST_FIRST}
    sums = "".join(
        f'<span class="t-sum s-{state}"><b style="color:var(--state)">{count}</b>{escape(say(state))}</span>'
        for state, count in counts.items()
        if count
    )
    if counts["well"] == len(fleet):
        sums = drawing.state("well", say, words=say("nothing_wrong"))
    cards = "".join(_card(visit, view, now) for view in fleet)
    return (
        f'{_troubles(visit)}<h1 class="t">{escape(say("fleet"))}</h1>'
        f'<div class="t-sums" style="margin:.4rem 0 1.1rem" role="status">{sums}</div>'
        f'<div class="t-grid">{cards}</div>'
    )


def _card(visit: Visit, view: MachineView, now: float) -> str:
    say, settings = visit.say, visit.service.settings.machine(view.name)
    heard = (
        say("never_heard")
        if view.heard_at is None
        else say("last_heard", words.span(say, max(0.0, now - view.heard_at)))
    )
    deaf = drawing.health(view.hearing, say) if view.hearing not in ("well", "waiting") else ""
    drift = f'<div class="t-small t-soft">{escape(say("drift"))}</div>' if view.drift else ""
    return (
        f'<a class="t-card t-machine s-{view.state} is-{view.state}" href="/machine/{quote(view.name)}">'
        f'<div class="t-row"><span class="t-title">{escape(settings.title or view.name)}</span>{deaf}</div>'
        f'<div class="t-small t-soft">{escape(view.name)}</div>'
        f"{drawing.sparkline(view.trend, settings.alarms.suspicious, say('trend'))}"
        f'<div class="t-row">{drawing.state(view.state, say)}'
        f'<span class="t-small t-soft t-num">p {drawing.figure(view.p)} · {escape(heard)}</span></div>{drift}</a>'
    )


def _troubles(visit: Visit) -> str:
    return "".join(
        f'<div class="t-card t-trouble" role="alert" style="margin-bottom:1rem"><b>{escape(visit.say("trouble"))}:'
        f"</b> {escape(words.translated(visit.language, trouble))}</div>"
        for trouble in visit.service.troubles
    )
