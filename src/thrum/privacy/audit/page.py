"""An audit as one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from thrum import storage
from thrum.embedders.base import Embedder
from thrum.evaluation import listening
from thrum.evaluation.listening import ExcerptBudget, Recording
from thrum.evaluation.pages import environment
from thrum.privacy.audit.attack import Round
from thrum.privacy.audit.auditing import Audit, Released
from thrum.privacy.audit.judging import Finding
from thrum.privacy.audit.words import QUESTIONS, TITLES, between, told, who_sees
from thrum.privacy.audit.worth import METHOD

WIDTH, HEIGHT, LEFT, TOP, SIDE_X, SIDE_Y = 640, 330, 56, 16, 540, 250


def write_page(path: Path, audit: Audit) -> None:
    """Write an audit as HTML."""
    templates = environment("thrum.privacy.audit", "thrum.evaluation")
    content = templates.get_template("audit.html.j2").render(
        audit=audit,
        settings=audit.settings,
        groups=_groups(audit),
        plot=_plot(audit),
        sees=who_sees(
            audit.settings.sharing,
            audit.settings.algorithm,
            private=Round(settings=audit.settings.settings).private,
        ),
        between=between,
        questions=_questions(audit),
        clips=_clips(audit),
        unmeasured=_unmeasured(audit),
        shown=METHOD[audit.settings.sharing],
    )
    storage.write_text(path, content)


def mean_leak(one: Released) -> float | None:
    """Return the mean, over the attacks, of the most that each of them found."""
    most: dict[str, float] = {}
    for found in one.findings:
        if found.leak is not None:
            most[found.attack] = max(found.leak, most.get(found.attack, 0.0))
    return float(np.mean(list(most.values()))) if most else None


def _groups(audit: Audit) -> list[dict[str, Any]]:
    """Return what each attack found, of all releases side by side."""
    groups: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(audit.releases):
        for found in one.findings:
            title, after = TITLES[found.attack]
            group = groups.setdefault(found.attack, {"title": title, "after": after, "rows": {}})
            row = group["rows"].setdefault(
                found.quantity,
                {"words": found.words, "who": found.who, "cells": [None] * len(audit.releases)},
            )
            row["cells"][number] = {
                "found": found,
                "told": told(found),
                "percent": 100 * (found.leak or 0.0),
            }
    return list(groups.values())


def _plot(audit: Audit) -> dict[str, Any] | None:
    """Return the coordinates of leak against AUC; None where no AUC is known."""
    shown = METHOD[audit.settings.sharing]
    points = [
        (one.chain, one.worth.together[shown], leak)
        for one in audit.releases
        if shown in one.worth.together and (leak := mean_leak(one)) is not None
    ]
    alone = next((one.worth.alone for one in audit.releases if one.worth.alone is not None), None)
    if not points or alone is None:
        return None
    values = [auc for _, auc, _ in points] + [alone]
    low = np.floor(20 * (min(values) - 0.01)) / 20
    high = min(np.ceil(20 * (max(values) + 0.01)) / 20, 1.0)

    def x(auc: float) -> float:
        return float(LEFT + SIDE_X * (auc - low) / (high - low))

    def y(leak: float) -> float:
        return TOP + SIDE_Y * (1 - leak)

    placed: list[dict[str, Any]] = []
    for chain, auc, leak in sorted(points, key=lambda point: -point[2]):
        label = y(leak) + 4
        while any(
            abs(label - one["label"]) < 14 and abs(x(auc) - one["x"]) < 200 for one in placed
        ):
            label += 14
        right = x(auc) > LEFT + 0.65 * SIDE_X
        placed.append(
            {"chain": chain, "auc": auc, "leak": leak, "x": x(auc), "y": y(leak)}
            | {"label": label, "anchor": "end" if right else "start", "dx": -10 if right else 10}
        )
    ticks = [one for one in np.arange(0, 1.001, 0.05) if low - 1e-9 <= one <= high + 1e-9]
    return {
        "points": placed,
        "alone": {"auc": alone, "x": x(alone)},
        "x": [(f"{tick:.2f}", x(tick)) for tick in ticks],
        "y": [(f"{100 * tick:.0f} %", y(tick)) for tick in (0, 0.25, 0.5, 0.75, 1)],
        "box": (WIDTH, HEIGHT, LEFT, TOP, SIDE_X, SIDE_Y),
    }


def _questions(audit: Audit) -> list[dict[str, Any]]:
    """Return, for each question and each release, the strongest attack that speaks to it."""
    found = []
    for title, question, attacks in QUESTIONS:
        answers = []
        for one in audit.releases:
            own = [each for each in one.findings if each.attack in attacks]
            measured = [each for each in own if each.leak is not None]
            worst = max(measured, key=lambda each: each.leak or 0.0, default=None)
            answers.append({"chain": one.chain, "worst": worst, "answer": _answer(worst)})
        found.append({"title": title, "question": question, "answers": answers})
    return found


def _answer(worst: Finding | None) -> str:
    if worst is None:
        return "Not measured"
    above = worst.low is not None and worst.low > worst.chance
    if above and worst.leak is not None and worst.leak >= 0.1:
        return "Yes"
    return "Somewhat" if above else "Not by these attacks"


def _unmeasured(audit: Audit) -> list[tuple[str, str]]:
    """Return what was not measured of any release, and why."""
    return sorted(
        {
            (f"{TITLES[found.attack][0]} ({found.quantity})", found.reason)
            for one in audit.releases
            for found in one.findings
            if found.reason
        }
    )


def _clips(audit: Audit) -> list[dict[str, Any]]:
    """Return the clips before and after, each as picture and sound."""
    rows = []
    rate = Embedder.sample_rate
    budget = ExcerptBudget(n_machines=max(len(audit.originals), 1), n_clips=len(audit.releases) + 1)
    for number, (name, original) in enumerate(audit.originals):
        decoded = [one.decoded[number] for one in audit.releases if one.decoded]
        named = [
            "the recording",
            *(f"read off {one.chain}" for one in audit.releases if one.decoded),
        ]
        heard = [Recording(sound, rate) for sound in (original, *decoded)]
        pictures = [
            listening.picture_of(each, name=title) for each, title in zip(heard, named, strict=True)
        ]
        excerpts = [
            *(budget.excerpts([each])[0] if budget.left_bytes > 0 else None for each in heard)
        ]
        rows.append(
            {
                "name": name,
                "clips": [
                    {"title": title, "picture": picture, "sound": sound}
                    for title, picture, sound in zip(
                        named, listening.images(pictures), excerpts, strict=True
                    )
                ],
            }
        )
    return rows
