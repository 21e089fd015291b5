"""What stands around every page: who looks at it, in which language, the way to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from nicegui import Client, run, ui
from nicegui.events import KeyEventArguments
from starlette.requests import Request

from thrum.service.running import Service
from thrum.service.store import people
from thrum.service.store.people import Person, Role
from thrum.service.web import words
from thrum.service.web.words import Say

PLACES = (("fleet", "/"), ("inputs", "/inputs"), ("ledger", "/ledger"), ("settings", "/settings"))
_CSS = (Path(__file__).parent.parent / "templates" / "dashboard.css").read_text(encoding="utf-8")
_LOGO = (
    '<svg width="32" height="22" viewBox="0 0 34 24" aria-hidden="true"><path d="M1 12h5l3-9 5 18 5-18 4 14 3-5h7" '
    'fill="none" stroke="var(--accent)" stroke-width="2.8" stroke-linejoin="round" stroke-linecap="round"/></svg>'
)


UNSEEN, UNSEEN_SECONDS = 50, 5.0
"""Pages may wait in memory for a browser to open them: so many as long as they like, which is a minute, more of
them so long.
"""


@dataclass(frozen=True)
class Visit:
    """A page that is open in a browser.

    Parameters
    ----------
    service
        Whose.
    person
        Who looks at it.
    say
        Says words in the language chosen.
    language
        Which one that is.
    """

    service: Service
    person: Person
    say: Say
    language: str

    def is_on(self) -> bool:
        """Return whether the visitor is still signed in, as who the page was made for."""
        now = self.service.intake.now()
        with self.service.database.reading() as connection:
            return people.is_on(connection, self.person, now)

    def allowed(self, role: Role) -> bool:
        """Return whether the visitor has a role, now; says it to the visitor where not."""
        on = self.is_on()
        if on and self.person.may(role):
            return True
        ui.notify(self.say("not_allowed" if on else "signed_off"), type="warning")
        return False


def html(content: str) -> ui.html:
    """Show HTML that `thrum.service.web.pages.drawing` made; all that came from elsewhere is escaped in
    it.
    """
    return ui.html(content, sanitize=False)


@contextmanager
def frame(service: Service, request: Request, place: str) -> Iterator[Visit]:
    """Yield the visit; what is shown in the block stands in the page."""
    _bound_unseen()
    person: Person = request.scope["thrum_person"]
    language = person.language or words.preferred(
        request.headers.get("accept-language", ""), service.settings.service.language
    )
    say = words.speaker(language)
    visit = Visit(service, person, say, language)
    ui.add_css(_CSS)
    ui.page_title(f"{say(place)} · thrum · {service.settings.service.site}")
    ui.query("html").props(f'lang="{language}"')
    dark = ui.dark_mode(person.dark)
    links = "".join(
        f'<a class="t-nav" href="{address}"{" aria-current=page" if key == place else ""}>{escape(say(key))}</a>'
        for key, address in PLACES
    )
    with ui.element("header").classes("t-head w-full"), ui.element("div").classes("t-bar"):
        html(
            f'<a class="t-logo" href="/">{_LOGO}thrum <small>{escape(service.settings.service.site)}</small></a>'
        )
        html(f'<nav aria-label="thrum">{links}</nav>')
        ui.element("div").classes("t-room")

        def keep_dark() -> None:
            dark.value = not _is_dark(dark.value)
            _choose(visit, dark=bool(dark.value))

        ui.button(icon="contrast", on_click=keep_dark).props(
            f'flat round dense aria-label="{say("dark_mode")}" color=grey-7'
        )
        html(
            f'<form method="post" action="/logout"><button class="t-nav" style="cursor:pointer" '
            f'title="{escape(person.name)} · {escape(say(person.role))}">{escape(say("sign_out"))}</button></form>'
        )
    ui.keyboard(on_key=_keys(keep_dark))
    with ui.column().classes("t-content"):
        yield visit


def refreshed(
    visit: Visit, look: Callable[[], Any], show: Callable[[Any], None], every: float = 1.0
) -> None:
    """Look now and again, apart from the page's own thread, and show what has changed."""
    last: list[Any] = []

    async def again() -> None:
        if visit.service.ended.is_set():
            return
        if not await run.io_bound(visit.is_on):  # signed out elsewhere, removed, or too long ago
            timer.cancel()
            ui.navigate.to("/login")
            return
        seen = await run.io_bound(look)
        if seen is not None and last != [seen]:
            last[:] = [seen]
            show(seen)

    first = look()
    last[:] = [first]
    show(first)
    timer = ui.timer(every, again)


def _bound_unseen() -> None:
    """Let go of pages that no browser has opened, where they are many: who asks for them is none."""
    unseen = sum(not client.has_socket_connection for client in Client.instances.values())
    if unseen > UNSEEN:
        Client.prune_instances(client_age_threshold=UNSEEN_SECONDS)


def _choose(visit: Visit, *, language: str | None = None, dark: bool | None = None) -> None:
    with visit.service.database.writing() as connection:
        people.choose(connection, visit.person.name, language=language, dark=dark)


def choose_language(visit: Visit, language: str) -> None:
    """Keep the language that a visitor chose, and show the page in it."""
    if language in words.LANGUAGES:
        _choose(visit, language=language)
        ui.navigate.reload()


def _is_dark(value: bool | None) -> bool:
    return bool(value)


def _keys(keep_dark: Callable[[], None]) -> Callable[[KeyEventArguments], None]:
    def pressed(event: KeyEventArguments) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.alt:
            return
        key = str(event.key)
        if key in ("1", "2", "3", "4"):
            ui.navigate.to(PLACES[int(key) - 1][1])
        elif key == "d":
            keep_dark()

    return pressed
