"""The language, the users, the tokens of machines, and how the service is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

from nicegui import ui
from sqlalchemy import Connection
from starlette.requests import Request

import thrum
from thrum.errors import UsageError
from thrum.sentences import said
from thrum.service.running import Service
from thrum.service.store import clips, people
from thrum.service.web import words
from thrum.service.web.pages import drawing
from thrum.service.web.pages.frame import Visit, choose_language, frame, html


def add(service: Service) -> None:
    """Add the page."""

    @ui.page("/settings")
    def settings(request: Request) -> None:
        with frame(service, request, "settings") as visit:
            say = visit.say
            html(f'<h1 class="t">{escape(say("settings"))}</h1>')
            with ui.element("div").classes("t-pair"):
                with ui.element("div").classes("t-card"):
                    html(f'<h2 class="t">{escape(say("language"))}</h2>')
                    names = {key: words.table()[key]["_language"] for key in words.LANGUAGES}
                    ui.toggle(
                        names,
                        value=visit.language,
                        on_change=lambda event: choose_language(visit, event.value),
                    ).props("no-caps")
                    html(
                        f'<p class="t-small t-soft" style="margin-top:.8rem">{escape(say("keys_help"))}</p>'
                    )
                html(_about(visit)).classes("t-card")
            if visit.person.may("administrator"):
                _users(visit)
                _tokens(visit)


def _about(visit: Visit) -> str:
    service, say = visit.service, visit.say
    with service.database.reading() as connection:
        waiting = clips.count_waiting(connection)
    kept = service.settings.retention
    free = shutil.disk_usage(service.folder).free
    rows = [
        (say("version"), thrum.__version__),
        (say("database"), service.database.engine.dialect.name),
        (say("waiting_clips"), str(waiting)),
        (say("disk_free"), f"{free / 2**30:.1f} GB"),
        (
            say("retention"),
            say("retention_text", f"{kept.audio_days:g}", kept.one_of, f"{kept.thinned_days:g}"),
        ),
    ]
    lines = "".join(
        f'<div class="t-row t-small" style="margin:.35rem 0"><span class="t-soft">{escape(name)}</span><span>{escape(value)}</span></div>'
        for name, value in rows
    )
    return f'<h2 class="t">{escape(say("service"))}</h2>{lines}'


def _users(visit: Visit) -> None:
    say, service = visit.say, visit.service
    with ui.element("div").classes("t-card"):
        html(f'<h2 class="t">{escape(say("users"))}</h2>')
        listed = ui.element("div").classes("w-full")

        def show() -> None:
            listed.clear()
            with service.database.reading() as connection:
                rows = people.all_users(connection)
            with listed:
                for row in rows:
                    with ui.element("div").classes("t-row").style("padding:.2rem 0"):
                        html(f"<b>{escape(row['name'])}</b> · {escape(say(row['role']))}")
                        if row["name"] != visit.person.name:
                            _button(
                                visit,
                                say("remove"),
                                partial(_removed, people.remove, visit, row["name"]),
                                show,
                            )

        show()
        with ui.element("div").classes("t-buttons").style("margin-top:.8rem; align-items:center"):
            name = ui.input(say("name")).props("outlined dense")
            password = ui.input(say("password"), password=True).props("outlined dense")
            role = ui.select(
                {each: say(each) for each in people.ROLES}, value="viewer", label=say("role")
            ).props("outlined dense")

            def make(connection: Connection) -> None:
                people.add(
                    connection,
                    name.value or "",
                    password.value or "",
                    role.value,
                    who=visit.person.name,
                    now=service.intake.now(),
                )

            _button(visit, say("add"), make, show)


def _tokens(visit: Visit) -> None:
    say, service = visit.say, visit.service
    with ui.element("div").classes("t-card"):
        html(f'<h2 class="t">{escape(say("tokens"))}</h2>')
        listed = ui.element("div").classes("w-full")
        held: list[str] = []

        def show() -> None:
            listed.clear()
            with service.database.reading() as connection:
                rows = people.all_tokens(connection)
            with listed:
                for row in rows:
                    with ui.element("div").classes("t-row").style("padding:.2rem 0"):
                        html(
                            f"<b>{escape(row['name'])}</b> · {escape(row['input'] or say('any_input'))} · "
                            f'<span class="t-soft t-small">{escape(say("used"))} {drawing.moment(row["used_at"])}</span>'
                        )
                        _button(
                            visit,
                            say("remove"),
                            partial(_removed, people.remove_token, visit, row["name"]),
                            show,
                        )
                if held:
                    token = held.pop()
                    html(
                        f'<p role="status">{escape(say("token_shown_once"))} <code style="user-select:all">{escape(token)}</code></p>'
                    )

        show()
        with ui.element("div").classes("t-buttons").style("margin-top:.8rem; align-items:center"):
            name = ui.input(say("name")).props("outlined dense")
            choices = {"": say("any_input"), **{each: each for each in service.inputs}}
            source = ui.select(choices, value="", label=say("input")).props("outlined dense")

            def make(connection: Connection) -> None:
                held.append(
                    people.add_token(
                        connection,
                        name.value or "",
                        source.value or None,
                        who=visit.person.name,
                        now=service.intake.now(),
                    )
                )

            _button(visit, say("add"), make, show)


def _removed(remove: Callable[..., None], visit: Visit, name: str, connection: Connection) -> None:
    remove(connection, name, who=visit.person.name, now=visit.service.intake.now())


def _button(
    visit: Visit, label: str, do: Callable[[Connection], Any], then: Callable[[], None]
) -> None:
    """Show a button by which an administrator changes who may do what."""

    def pressed() -> None:
        if not visit.allowed("administrator"):
            return
        try:
            with visit.service.database.writing() as connection:
                do(connection)
        except UsageError as error:
            ui.notify(words.translated(visit.language, said(error)), type="warning")
            return
        then()

    ui.button(label, on_click=pressed).props(
        "no-caps outline dense color=primary padding='4px 14px'"
    )
