"""An explanation as one self-contained page, with its JSON twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from thrum import storage
from thrum.datasets.arrays import read_features
from thrum.embedders.precomputed import Precomputed
from thrum.evaluation import listening
from thrum.evaluation.listening import ExcerptBudget, LogMel, Recording
from thrum.evaluation.pages import environment
from thrum.features.spectrogram import hz_to_mel
from thrum.monitoring.explanation import Explanation, sounds
from thrum.monitoring.heard import RATE

MARKED = 5
"""The patches that are drawn on the picture."""


def write_page(path: Path, explanation: Explanation) -> None:
    """Write an explanation to ``<path>`` (HTML) and, beside it, ``.json``."""
    templates = environment("thrum.monitoring")
    told = explanation.to_json()
    content = templates.get_template("explanation.html.j2").render(
        told,
        judgement=explanation.judgement,
        place=explanation.place,
        clip_name=explanation.judgement.clip.name,
        pictures=pictures(explanation),
        patches=patches(explanation),
        marks=listening.frequency_marks(RATE / 2) if _recorded(explanation) else [],
    )
    storage.write_json(path.with_suffix(".json"), told)
    storage.write_text(path, content)


def _recorded(explanation: Explanation) -> bool:
    return explanation.judgement.clip.row is None


def pictures(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the clip and the nearest normal one as they look and, of recordings, sound."""
    clip = explanation.judgement.clip
    names = [clip.name, explanation.nearest.name]
    if not _recorded(explanation):
        features = LogMel(read_features([clip])[0], Precomputed().hop_seconds)
        picture = listening.picture_of(features, name=clip.name)
        address = listening.images([picture])[0]
        return [{"name": clip.name, "address": address, "seconds": picture.seconds, "sound": None}]
    heard = [Recording(sound, RATE) for sound in sounds(explanation)]
    shown = [
        listening.picture_of(each, name=name) for each, name in zip(heard, names, strict=False)
    ]
    excerpts = ExcerptBudget(n_machines=1, n_clips=2).excerpts(heard)
    return [
        {"name": name, "address": address, "seconds": picture.seconds, "sound": excerpt}
        for name, address, picture, excerpt in zip(
            names, listening.images(shown), shown, excerpts, strict=False
        )
    ]


def patches(explanation: Explanation) -> list[dict[str, float]]:
    """Return where the patches that matter most lie on the picture, in percent of it."""
    relevance = explanation.relevance
    falls = relevance.weighed
    most = float(falls.max())
    if most <= 0:
        return []
    seconds = relevance.seconds / relevance.seconds[-1]
    low = float(hz_to_mel(listening.LOWEST_HZ, "htk"))
    if _recorded(explanation):
        high = float(hz_to_mel(RATE / 2, "htk"))
        heights = [
            (float(hz_to_mel(max(hz, listening.LOWEST_HZ), "htk")) - low) / (high - low)
            for hz in relevance.hz
        ]
    else:
        heights = (relevance.hz / relevance.hz[-1]).tolist()
    order = np.argsort(-falls, axis=None)[:MARKED]
    found = []
    for place in order:
        time, band = (int(each) for each in np.unravel_index(int(place), falls.shape))
        if falls[time, band] <= 0.2 * most:
            continue
        found.append(
            {
                "left": 100 * float(seconds[time]),
                "width": 100 * float(seconds[time + 1] - seconds[time]),
                "bottom": 100 * heights[band],
                "height": 100 * (heights[band + 1] - heights[band]),
                "share": float(falls[time, band]) / most,
            }
        )
    return found
