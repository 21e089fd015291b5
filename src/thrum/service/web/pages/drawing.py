"""Small pieces of pages as HTML: states with colour, icon and word, sparklines, tables. All text is
escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape

from thrum.service.health import DEAF
from thrum.service.web.words import Say

ICONS: Mapping[str, str] = {
    "alarm": "notifications_active",
    "acknowledged": "visibility",
    "unheard": "hearing_disabled",
    "unknown": "help",
    "suspicious": "warning",
    "off": "power_settings_new",
    "waiting": "hourglass_empty",
    "well": "check_circle",
}
LOWEST_P = 1e-3
"""The bottom of charts of p-values."""
WIDTH, HEIGHT = 240.0, 46.0


def state(word: str, say: Say, *, chip: bool = False, words: str = "") -> str:
    """Return a state, in other words where they are given: never told by its colour alone."""
    kind = "t-chip" if chip else "t-state"
    icon = f'<span class="material-icons" aria-hidden="true">{ICONS.get(word, "help")}</span>'
    return f'<span class="{kind} s-{escape(word)}">{icon}{escape(words or say(word))}</span>'


def operating(state: str, say: Say) -> str:
    """Return the name of an operating state; those that were found and not named have a number."""
    found = re.fullmatch(r"state (\d+)", state)
    return say("operating_state", found[1]) if found else say(state)


def health(word: str, say: Say) -> str:
    """Return the health of an input."""
    kind = "well" if word == "well" else "waiting" if word == "waiting" else "suspicious"
    kind = "unheard" if word in DEAF else kind
    icon = {"well": "check_circle", "waiting": "hourglass_empty", "unheard": "hearing_disabled"}
    return (
        f'<span class="t-chip s-{kind}"><span class="material-icons" aria-hidden="true">'
        f"{icon.get(kind, 'warning')}</span>{escape(say(word))}</span>"
    )


def sparkline(p: Sequence[float | None], suspicious: float, label: str) -> str:
    """Return p-values as a line, small ones high; what is suspicious is marked; gaps are clips without
    sound.
    """
    most = -math.log10(LOWEST_P)

    def height(value: float) -> float:
        return HEIGHT - 3 - (HEIGHT - 6) * min(1.0, -math.log10(max(value, LOWEST_P)) / most)

    step = WIDTH / max(59, len(p) - 1)
    start = WIDTH - step * (len(p) - 1)
    parts, path, marks = [], "", ""
    for place, value in enumerate(p):
        x = start + place * step
        if value is None:
            if path:
                parts.append(path)
            path = ""
            continue
        y = height(value)
        path += f"{'L' if path else 'M'}{x:.1f} {y:.1f}"
        if value <= suspicious:
            marks += f"M{x:.1f} {y:.1f}h0"  # round however wide the picture is drawn
    line = " ".join([*parts, path]).strip()
    limit = height(suspicious)
    return (
        f'<svg class="t-spark" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><line x1="0" x2="{WIDTH:g}" y1="{limit:.1f}" y2="{limit:.1f}" '
        f'stroke="var(--soft)" stroke-width="1" stroke-dasharray="3 4" opacity=".55"/>'
        f'<path d="{line}" fill="none" stroke="var(--state)" stroke-width="1.7" stroke-linejoin="round" '
        f'vector-effect="non-scaling-stroke"/><path d="{marks}" fill="none" stroke="var(--state)" '
        f'stroke-width="6" stroke-linecap="round" vector-effect="non-scaling-stroke"/></svg>'
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are HTML already, the header is text."""
    head = "".join(f"<th>{escape(each)}</th>" for each in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="t-scroll"><table class="t"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(value: float | None) -> str:
    """Return a figure to three places; nothing as a dash."""
    return "–" if value is None else f"{value:.3g}"


def moment(at: float | None) -> str:
    """Return a time as the site's clock shows it."""
    from datetime import datetime

    if at is None:
        return "–"
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
