"""What has left this site, and who did what at it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from nicegui import ui
from starlette.requests import Request

from thrum.federation.ledger import Entry, Ledger, total_bytes
from thrum.sentences import told
from thrum.service.running import Service
from thrum.service.store import logs
from thrum.service.web import words
from thrum.service.web.pages import drawing
from thrum.service.web.pages.frame import frame, html

SHOWN = 200


def add(service: Service) -> None:
    """Add the page."""

    @ui.page("/ledger")
    def ledger(request: Request) -> None:
        with frame(service, request, "ledger") as visit:
            say = visit.say
            html(
                f'<h1 class="t">{escape(say("ledger"))}</h1><p class="t-soft">{escape(say("ledger_help"))}</p>'
            )
            found = _ledgers(service)
            if not found:
                html(escape(say("no_run_ledger"))).classes("t-card")
            for folder, entries in found.items():
                rows = [
                    [
                        escape(entry.time),
                        escape(say(entry.what)),
                        escape(entry.detail),
                        str(entry.clips),
                        f"{entry.n_bytes:,}",
                        escape(entry.sha256[:12]),
                    ]
                    for entry in reversed(entries[-SHOWN:])
                ]
                names = ("when", "what", "detail", "clips", "bytes", "sha256")
                html(
                    f'<h2 class="t">{escape(folder.name)} · {len(entries)} · {total_bytes(entries):,} bytes</h2>'
                    f"{drawing.table([say(name) for name in names], rows)}"
                ).classes("t-card")
            if not visit.person.may("operator"):
                return
            with service.database.reading() as connection:
                lines = logs.audited(connection, SHOWN)
            rows = [
                [
                    escape(drawing.moment(line["at"])),
                    escape(line["who"]),
                    escape(say(line["what"])),
                    escape(line["about"]),
                    escape(say(words.translated(visit.language, told(line["detail"]))[:200])),
                ]
                for line in lines
            ]
            columns = ("when", "who", "what", "about", "detail")
            html(
                f'<h2 class="t">{escape(say("audit"))}</h2>{drawing.table([say(name) for name in columns], rows)}'
            ).classes("t-card")


def _ledgers(service: Service) -> dict[Path, list[Entry]]:
    """Return what the ledgers of the runs say, by the folder of the site."""
    found = {}
    for run in sorted({machine.run for machine in service.settings.machines}):
        for path in [run / "ledger.jsonl", *sorted(run.glob("sites/*/ledger.jsonl"))]:
            if path.is_file():
                found[path.parent] = Ledger(path).entries()
    return found
