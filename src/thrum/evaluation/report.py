"""One self-contained HTML file of what was run, what it found and how it sounds, and its JSON twin.

The page is drawn from the twin: `thrum.evaluation.findings` computes every number once,
`write_report` writes them as ``report.json`` and, with pictures and sound, as ``report.html``.
Nothing in the page comes from another address, and the page forbids the browser to fetch any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import EvaluationError
from thrum.evaluation import findings, listening
from thrum.evaluation.curves import LearningCurves, svg
from thrum.evaluation.listening import LogMel, Recording
from thrum.evaluation.pages import environment
from thrum.types import Clip, Scores

MachineKey = tuple[str, str]
Json = dict[str, Any]

MEANINGS = {
    "local": "its own frozen embeddings; nothing shared",
    "local_whitened": "the same, whitened by its own clips",
    "pool": "its own, whitened by how the others' clips vary",
    "statistics": "how its own clips vary, and the others'",
    "network": "a classifier learned from all sites",
    "fused": "statistics and network together",
}
"""What a method knows, in the words of the page."""


@dataclass(frozen=True)
class Departures:
    """What of one kind left one site, summed over its ledger.

    Parameters
    ----------
    site
        Which site.
    what
        The kind, as the ledger calls it, for instance ``embeddings``.
    messages, clips, n_bytes
        How many messages, the clips they speak of, and their size.
    """

    site: str
    what: str
    messages: int
    clips: int
    n_bytes: int


@dataclass(frozen=True)
class EmbeddingMaps:
    """Embeddings of the same clips at several stages, to be shown as maps side by side.

    Parameters
    ----------
    clips
        Training and test clips, N of them.
    stages
        ``{caption: (N, D)}``, in the order to show: frozen first, then what the classifier made of
        it.
    """

    clips: Sequence[Clip]
    stages: Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Report:
    """All that a report tells.

    Parameters
    ----------
    title
        The heading.
    scores
        Of all test clips; `Scores.selected` is the method that the site would act on.
    seed
        The seed of the run; maps are made with it too.
    baseline
        The method that `scores.selected` is compared with; None compares with none.
    training_scores
        Of the training clips, left out one by one: a method's scores are shown in standard
        deviations of them. None shows scores as they are.
    facts
        What was run, in the order to show: data, embedder, algorithm …
    thresholds
        For some machines, the score of `scores.selected` from which the site would raise an alarm.
    calibrations
        Ways to set such a threshold, by name, each for some machines: what each decides on labelled clips is
        shown beside the others.
    id_accuracy
        For some machines, the share of normal clips in which the classifier recognised the machine.
    sound
        Loads a test clip as it is to be seen and heard; called for six clips a machine. None shows
        none.
    maps
        Embeddings before and after.
    departures
        What left the sites.
    curves
        What scores come to with fewer normal clips; None shows none.
    given_away
        What audits found of the embeddings that were shared; empty where none were.
    settings, versions
        For the fold-outs at the end; settings hold what JSON knows.
    created
        When, as the reader shall see it.
    """

    title: str
    scores: Scores
    seed: int
    baseline: str | None = None
    training_scores: Scores | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[MachineKey, float] = field(default_factory=dict)
    calibrations: Mapping[str, Mapping[MachineKey, float]] = field(default_factory=dict)
    id_accuracy: Mapping[MachineKey, float] = field(default_factory=dict)
    sound: Callable[[Clip], Recording | LogMel] | None = None
    maps: EmbeddingMaps | None = None
    departures: Sequence[Departures] = ()
    curves: LearningCurves | None = None
    given_away: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    def __post_init__(self) -> None:
        if not self.scores.clips:
            raise EvaluationError("a report wants scores of at least one test clip, got none")
        methods = self.scores.columns
        if self.baseline is not None and self.baseline not in methods:
            raise EvaluationError(
                f"got the baseline {self.baseline!r}, wanted one of {', '.join(methods)}"
            )
        _refuse_what_is_not_finite(self.scores, "test")
        for (machine, machine_id), threshold in self.thresholds.items():
            if not math.isfinite(threshold):
                raise EvaluationError(f"the threshold of {machine} {machine_id} is {threshold}")
        if self.training_scores is not None:
            if missing := [name for name in methods if name not in self.training_scores.columns]:
                raise EvaluationError(f"the training clips lack scores of {', '.join(missing)}")
            _refuse_what_is_not_finite(self.training_scores, "training")
        if self.maps is not None:
            known = {clip.machine_key for clip in self.scores.clips}
            if self.training_scores is not None:
                known |= {clip.machine_key for clip in self.training_scores.clips}
            _check_maps(self.maps, known)


def write_report(path: Path, report: Report) -> None:
    """Write the page to `path` (``….html``) and its twin beside it (``….json``).

    The page stays under about 15 MB: excerpts of sound share 6 MB, each as long as that allows up
    to ten seconds, and a map shows 1200 clips at most. The same report gives the same page, byte
    for byte.

    Raises
    ------
    EvaluationError
        Where `path` ends otherwise, or a clip to be shown is empty or not finite.
    """
    if path.suffix.lower() != ".html":
        raise EvaluationError(f"cannot write a report to {path}: its name must end in .html")
    twin = path.with_suffix(".json")
    data = findings.describe(report)
    drawn = svg(report.curves) if report.curves else None
    page = _page(data, _clips_shown(report, data), twin.name, curve=drawn)
    storage.write_text(twin, json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n")
    storage.write_text(path, page)


def _refuse_what_is_not_finite(scores: Scores, kind: str) -> None:
    for method, column in scores.columns.items():
        finite = np.isfinite(column)
        if not finite.all():
            clip = scores.clips[int(np.argmin(finite))]
            raise EvaluationError(
                f"{(~finite).sum()} {kind} scores of {method!r} are NaN or infinite, the first that of "
                f"{clip.name} ({clip.machine} {clip.machine_id}): score these clips again"
            )


def _check_maps(maps: EmbeddingMaps, known: set[MachineKey]) -> None:
    if strangers := sorted({clip.machine_key for clip in maps.clips} - known):
        raise EvaluationError(
            f"the maps show {' '.join(strangers[0])}, of which no clip has a score"
        )
    for caption, embeddings in maps.stages.items():
        if embeddings.ndim != 2 or len(embeddings) != len(maps.clips):
            raise EvaluationError(
                f"map {caption!r}: got embeddings {embeddings.shape}, wanted ({len(maps.clips)}, D)"
            )
        if not np.isfinite(embeddings).all():
            raise EvaluationError(f"map {caption!r}: the embeddings hold NaN or infinite values")


def _clips_shown(report: Report, data: Json) -> dict[tuple[int, int], Json]:
    """Return picture and sound of the clips to show, by the machine's number and the clip's place.

    A machine's clips share one scale of colours and one gain. Where the page has no room for all,
    the strangest clip is heard first, then the typical one (the last), then the others.
    """
    if report.sound is None:
        return {}
    machines = [machine for machine in data["machines"] if machine["shown"]]
    budget = listening.ExcerptBudget(n_machines=len(machines), n_clips=findings.SHOWN)
    shown: dict[tuple[int, int], Json] = {}
    for machine in machines:
        clips = [report.scores.clips[one["row"]] for one in machine["shown"]]
        sounds = [report.sound(clip) for clip in clips]
        pictures = [
            listening.picture_of(sound, name=clip.name)
            for sound, clip in zip(sounds, clips, strict=True)
        ]
        for place, image in enumerate(listening.images(pictures)):
            shown[machine["number"], place] = {
                "image": image,
                "picture": pictures[place],
                "excerpt": None,
            }
        in_turn = [(place, sounds[place]) for place in _as_heard(len(sounds))]
        audible = [(place, one) for place, one in in_turn if isinstance(one, Recording)]
        excerpts = budget.excerpts([recording for _, recording in audible])
        for (place, _), excerpt in zip(audible, excerpts, strict=False):
            shown[machine["number"], place]["excerpt"] = excerpt
    return shown


def _as_heard(n_shown: int) -> list[int]:
    """Return the places of clips in the order in which they are given room to be heard."""
    return sorted(range(n_shown), key=lambda place: (place != 0, place != n_shown - 1, place))


def _page(data: Json, shown: dict[tuple[int, int], Json], twin: str, *, curve: str | None) -> str:
    from markupsafe import Markup

    templates = environment("thrum.evaluation")
    templates.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    templates.filters["signed"] = lambda value: f"{value:+.3f}".replace("-", "−")
    templates.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    templates.filters["size"] = _size
    figures = _figures(data)
    drawn = [one[key] for row in figures for one in row for key in ("auc", "pauc")]
    lowest = min((value for value in drawn if value is not None), default=0.5)
    return templates.get_template("report.html.j2").render(
        data,
        figures=figures,
        without=[one for one in data["machines"] if figures[one["number"]][0]["auc"] is None],
        colours=_colours(data["methods"]),
        meanings=MEANINGS,
        pictures=shown,
        twin=twin,
        curve=Markup(curve) if curve else None,  # made of escaped names
        low=min(0.5, math.floor(20 * lowest) / 20),
        frequency_marks=listening.frequency_marks,
    )


def _figures(data: Json) -> list[list[Json]]:
    """Return for each machine what is drawn of each method."""
    results = {(row["machine"], row["machine_id"], row["method"]): row for row in data["results"]}
    nothing = {"auc": None, "pauc": None}
    return [
        [
            {
                **method,
                **results.get((machine["machine"], machine["machine_id"], name), nothing),
                "method": name,
                "same_as": _first_alike(machine["methods"], name),
            }
            for name, method in machine["methods"].items()
        ]
        for machine in data["machines"]
    ]


def _first_alike(methods: Mapping[str, Json], name: str) -> str | None:
    """Return the first method before `name` whose scores are the very same, if there is one."""
    for other, method in methods.items():
        if other == name:
            break
        if all(method[key] == methods[name][key] for key in ("scores", "training_scores")):
            return other
    return None


def _colours(methods: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each method's colour in ``report.css``."""
    others = (method for method in methods if method not in MEANINGS)
    return {method: method for method in methods} | {
        method: f"other-{number % 8}" for number, method in enumerate(others)
    }


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
