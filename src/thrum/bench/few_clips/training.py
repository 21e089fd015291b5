"""Scores of a site's test clips for which something is trained: minutes for a cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum import config as configs
from thrum.bench.few_clips.draws import MachineKey, Situation
from thrum.bench.few_clips.methods import Frames, FramesOf, Means
from thrum.bench.once import alone
from thrum.detectors.grouped import Grouped
from thrum.detectors.knn import KNN
from thrum.embedders.base import Embedder
from thrum.systems.baselines.autoencoder import AutoencoderBaseline
from thrum.systems.baselines.autoencoder import Config as Autoencoder
from thrum.systems.embedding_sharing import (
    Config,
    FramePool,
    IDClassifier,
    MachineScorer,
    Network,
    train_classifier,
)
from thrum.training import device_of
from thrum.types import Progress

CLASSIFIER_METHODS = ("network", "fused")
JOINS_METHODS = ("joins",)
AUTOENCODER_METHODS = AutoencoderBaseline.methods


class Classifiers:
    """ID classifiers, kept in a folder by what they were trained on and how.

    Parameters
    ----------
    folder
        Where they are; cells share it.
    config, embedder, device
        How they are trained.
    """

    def __init__(self, folder: Path, config: Config, embedder: Embedder, *, device: str) -> None:
        self.folder = folder
        self.config = config
        self.embedder = embedder
        self.device = device
        self._last: tuple[Path, IDClassifier] | None = None

    def trained_on(
        self,
        clips: Mapping[MachineKey, Sequence[Frames]],
        *,
        seed: int,
        progress: Progress | None = None,
    ) -> IDClassifier:
        """Return the classifier of `clips` (T, D), trained unless it is there."""
        pool = FramePool(clips)
        stacking = self.embedder.stack_frames, self.embedder.stack_hop
        what = [pool.fingerprint(), _differing(self.config), *stacking, seed]
        name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        folder = self.folder / name
        if self._last is not None and self._last[0] == folder:
            return self._last[1]
        with alone(folder):
            if not (folder / "model.json").exists():
                train_classifier(
                    pool,
                    self.config,
                    stack_frames=stacking[0],
                    stack_hop=stacking[1],
                    seed=seed,
                    device=self.device,
                    checkpoint=folder / "training.safetensors",
                    progress=progress,
                ).save(folder)
        self._last = folder, IDClassifier.load(folder).to(device_of(self.device))
        return self._last[1]


def _differing(config: Config) -> dict[str, object]:
    """Return the settings that are not the defaults: a new one leaves what was trained before as it is.

    The embedder is none of them: what it gave is in the pool.
    """
    usual = {**configs.to_mapping(Config()), "embedder": config.embedder}
    return {k: own for k, own in configs.to_mapping(config).items() if usual.get(k) != own}


def classifier_scores(
    now: Situation,
    frames_of: FramesOf,
    means: Means,
    classifiers: Classifiers,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Mapping[str, NDArray[np.float64]]:
    """Return what a classifier says that was trained on the site's few clips and on the others'."""
    own, test = ([frames_of(clip) for clip in clips] for clips in (now.own, now.test))
    pool = {key: [frames_of(clip) for clip in clips] for key, clips in now.others.items()}
    classifier = classifiers.trained_on({**pool, now.key: own}, seed=seed, progress=progress)
    scorer = MachineScorer(pool=means.pool(now), network=Network(classifier, now.key))
    pairs, _ = scorer.fit(own).score(test)
    return {method: pairs[method].test for method in CLASSIFIER_METHODS}


def joins_scores(
    now: Situation,
    frames_of: FramesOf,
    classifiers: Classifiers,
    *,
    progress: Progress | None = None,
) -> Mapping[str, NDArray[np.float64]]:
    """Return what a classifier of the others alone is worth to a site that was in no round.

    The site embeds its clips with it and asks k-NN; whichever clips it has, the classifier is the same.
    """
    own, test = ([frames_of(clip) for clip in clips] for clips in (now.own, now.test))
    pool = {key: [frames_of(clip) for clip in clips] for key, clips in now.others.items()}
    classifier = classifiers.trained_on(pool, seed=0, progress=progress)
    scores = [
        Grouped(KNN(neighbours=classifier.config.neighbours))
        .fit(_views(classifier, member, own))
        .anomaly_score(_views(classifier, member, test))
        for member in classifier.members
    ]
    return {"joins": np.mean(scores, axis=0)}


def autoencoder_scores(
    now: Situation, config: Autoencoder, *, seed: int, device: str, folder: Path
) -> Mapping[str, NDArray[np.float64]]:
    """Return what the official autoencoder says that was trained on the site's few clips alone."""
    system = AutoencoderBaseline(config, seed=seed, device=device, folder=folder)
    return system.fit(now.own).score(now.test).columns


def _views(classifier: IDClassifier, member: object, clips: Sequence[Frames]) -> list[Frames]:
    embedded = classifier.embed(member, clips)  # type: ignore[arg-type]
    if classifier.config.form == "sequence":  # one vector a clip
        return [windows.mean(axis=0, keepdims=True) for windows in embedded]
    return list(embedded)
