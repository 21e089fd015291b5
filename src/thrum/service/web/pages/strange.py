"""A clip as it sounds and looks: player, spectrogram, what is strange marked on it, the nearest normal clip."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from sqlalchemy import RowMapping

from thrum.sentences import decoded
from thrum.service.web import words
from thrum.service.web.pages import drawing
from thrum.service.web.pages.frame import Visit


def clip_head(visit: Visit, row: RowMapping) -> str:
    """Return when a clip began and what was said of it."""
    say = visit.say
    notes = "".join(
        f'<div class="t-small t-soft">{escape(words.translated(visit.language, decoded(note)))}</div>'
        for note in json.loads(row["notes"] or "[]")
    )
    return (
        f'<div class="t-row"><h2 class="t">{escape(say("this_clip"))} · {escape(drawing.moment(row["started_at"]))}</h2>'
        f'<span class="t-num t-soft">{escape(say(row["state"] or row["status"]))} · p {drawing.figure(row["p"])} · '
        f"{escape(say('score'))} {drawing.figure(row['score'])} · {row['level_db']:.0f} dB</span></div>{notes}"
    )


def player(visit: Visit, number: int) -> str:
    """Return what plays a clip, with its spectrogram."""
    return _one(visit.say("this_clip"), f"/sound/{number}.wav", f"/sound/{number}.png", "")


def explained(visit: Visit, number: int, told: dict[str, Any]) -> str:
    """Return a clip with what is strange in it, beside the normal clip that is most like it."""
    say = visit.say
    patches = "".join(
        f'<span class="t-patch" style="left:{patch["left"]:.2f}%;width:{patch["width"]:.2f}%;'
        f'bottom:{patch["bottom"]:.2f}%;height:{patch["height"]:.2f}%;opacity:{0.35 + 0.65 * patch["share"]:.2f}"></span>'
        for patch in told["patches"]
    )
    place, *different = (words.translated(visit.language, decoded(each)) for each in told["said"])
    listed = "".join(f"<li>{escape(each)}</li>" for each in different)
    near = told["nearest_normal_clip"]["name"]
    return (
        f'<div class="t-pair">{_one(say("this_clip"), f"/sound/{number}.wav", told["picture"], patches)}'
        f"{_one(say('nearest_normal') + ' · ' + near, f'/sound/{number}/normal.wav', told['normal_picture'], '')}</div>"
        f'<h2 class="t" style="margin-top:1rem">{escape(say("what_is_strange"))}</h2>'
        f'<div>{escape(place)}</div><ul style="margin:.3rem 0 0 1.2rem;list-style:disc">{listed}</ul>'
    )


def _one(title: str, sound: str, picture: str, patches: str) -> str:
    image = f'<img src="{escape(picture)}" alt="{escape(title)}" loading="lazy">' if picture else ""
    return (
        f'<figure style="margin:.4rem 0"><figcaption class="t-small t-soft">{escape(title)}</figcaption>'
        f'<div class="t-picture">{image}{patches}</div><audio controls preload="none" src="{escape(sound)}" '
        f'style="margin-top:.5rem"></audio></figure>'
    )
