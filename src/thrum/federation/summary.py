"""What a simulated collaboration came to, as the report that a person reads."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from thrum import audio
from thrum.detectors.threshold import calibrations
from thrum.evaluation.curves import LearningCurves
from thrum.evaluation.listening import LogMel, Recording
from thrum.evaluation.report import Departures, EmbeddingMaps, Report, write_report
from thrum.evaluation.table import Result, summary
from thrum.federation.evidence import SIGNATURE
from thrum.federation.inprocess import Simulation
from thrum.federation.site import Site
from thrum.federation.site_scores import SiteScores
from thrum.privacy.mechanisms.audited import given_away
from thrum.systems.embedding_sharing import ALONE, METHODS, IDClassifier, selected
from thrum.systems.embedding_sharing.pool import MachineKey
from thrum.types import Clip, Scores

LISTENING_RATE = 16000
PACKAGES = ("thrum", "torch", "numpy", "scikit-learn")


def write_summary(
    simulation: Simulation, folder: Path, *, curves: LearningCurves | None = None
) -> Path | None:
    """Write ``report.html`` and its twin ``report.json`` into `folder`; None where nothing was scored.

    A machine takes part in the report's tables with the methods that every machine has.
    """
    tested = [own for own in simulation.scores if len(own.clips) > 0]
    if not tested:
        return None
    common = set.intersection(*(set(own.scores) for own in simulation.scores))
    methods = [method for method in METHODS if method in common]
    owner = {key: site for site in simulation.sites for key in site.machines}
    chosen = selected(methods)
    path = folder / "report.html"
    write_report(
        path,
        Report(
            title="Sites that learnt together without sharing a recording",
            scores=Scores(
                [clip for own in tested for clip in own.clips],
                {m: np.concatenate([own.scores[m].test for own in tested]) for m in methods},
                chosen,
            ),
            training_scores=Scores(
                [
                    clip
                    for own in simulation.scores
                    for clip in owner[own.key].training_clips(own.key)
                ],
                {
                    m: np.concatenate([own.scores[m].left_out for own in simulation.scores])
                    for m in methods
                },
                chosen,
            ),
            calibrations=calibrations(
                {own.key: own.scores[chosen].left_out for own in simulation.scores}
            ),
            seed=int(simulation.settings["seed"]),
            baseline=_best_alone(simulation.results),
            facts=_facts(simulation),
            id_accuracy={own.key: own.id_accuracy for own in tested if own.id_accuracy is not None},
            sound=lambda clip: _sound(clip, owner[clip.machine_key]),
            maps=_maps(tested, owner, simulation.classifiers),
            curves=curves,
            departures=[row for site in simulation.sites for row in _departures(site)],
            given_away=_given_away(simulation),
            settings=simulation.settings,
            versions={name: version(name) for name in PACKAGES}
            | {"python": platform.python_version()},
        ),
    )
    return path


def _given_away(simulation: Simulation) -> str:
    """Return what audits found of the embeddings that were shared; nothing where none were."""
    if simulation.settings["sharing"] != "embeddings":
        return ""
    site = simulation.sites[0]
    return given_away(type(site.embedder).__name__, site.releasing.chain.told)


def _best_alone(results: Sequence[Result]) -> str:
    """Return what a site alone does best, by mean AUC: the honest thing to compare with."""
    means = {row.method: row.auc for row in summary(results) if row.machine is None}
    return max(ALONE, key=lambda method: means.get(method) or 0.0)


def _facts(simulation: Simulation) -> dict[str, str]:
    settings = simulation.settings
    return {
        "data": "/".join(Path(settings["data"]).parts[-2:]),
        "sites": str(len(simulation.sites)),
        "embedder": type(simulation.sites[0].embedder).__name__,
        "shared": _shared(settings),
    }


def _shared(settings: Mapping[str, Any]) -> str:
    if settings["sharing"] == "statistics":
        return "statistics"
    private = settings["config"].get("dp_epsilon")
    told = "" if private is None else f", networks by DP-SGD with epsilon {private:g} a clip"
    return f"embeddings, Algorithm {settings['algorithm']}{told}"


def _sound(clip: Clip, site: Site) -> Recording | LogMel:
    if clip.row is None:
        return Recording(audio.read_clip(clip, sample_rate=LISTENING_RATE), LISTENING_RATE)
    frames = np.asarray(site.frames([clip])[0], dtype=np.float64)
    return LogMel(frames, site.embedder.hop_seconds)


def _maps(
    tested: Sequence[SiteScores],
    owner: Mapping[MachineKey, Site],
    classifiers: Mapping[str, IDClassifier],
) -> EmbeddingMaps | None:
    """Return the clips' embeddings as they were sent, and as the first network sees them."""
    clips: list[Clip] = []
    frozen, learnt = [], []
    for own in tested:
        classifier = next((c for c in classifiers.values() if own.key in c.keys), None)
        if classifier is None:
            continue
        chosen = [*owner[own.key].training_clips(own.key), *own.clips]
        frames = owner[own.key].frames(chosen)
        embedded = classifier.embed(classifier.members[0], frames)
        clips += chosen
        frozen.append(np.stack([own.mean(axis=0, dtype=np.float64) for own in frames]))
        learnt.append(np.stack([windows.mean(axis=0) for windows in embedded]))
    if not clips:
        return None
    stages = {
        "as sent": np.concatenate(frozen),
        "as the ID classifier sees them": np.concatenate(learnt),
    }
    return EmbeddingMaps(clips, stages)


def _departures(site: Site) -> list[Departures]:
    entries = [entry for entry in site.ledger.entries() if entry.what != SIGNATURE]
    kinds = dict.fromkeys(entry.what for entry in entries)
    return [
        Departures(
            site.name,
            kind,
            sum(entry.what == kind for entry in entries),
            sum(entry.clips for entry in entries if entry.what == kind),
            sum(entry.n_bytes for entry in entries if entry.what == kind),
        )
        for kind in kinds
    ]
