"""What sharing is worth beside what it gives away: the AUC of sites alone and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError
from thrum.federation.messages import Sharing
from thrum.federation.pooling import pool_for
from thrum.privacy.audit.judging import auc
from thrum.privacy.audit.material import MachineKey, Material
from thrum.privacy.mechanisms import LEAST_CLIPS
from thrum.systems.embedding_sharing import (
    FramePool,
    MachineScorer,
    Moments,
    Network,
    mean_frames,
    moments_of,
    pooled,
    preset_config,
    train_classifier,
)
from thrum.types import Progress

METHOD: Mapping[Sharing, str] = {"statistics": "statistics", "embeddings": "fused"}
"""Which score of a round the plot shows."""
SHORTENED = ("members=2", "epochs=12")
"""Of the ID classifier in an audit: a figure beside others, not the best there is."""


@dataclass(frozen=True)
class Worth:
    """Mean AUCs over the machines that have anomalies.

    Parameters
    ----------
    alone
        Each site by itself, whitened by its own clips: nothing is shared.
    together
        By method, what the round gives.
    machines
        How many machines have an AUC.
    """

    alone: float | None
    together: Mapping[str, float]
    machines: int


def alone(raw: Material) -> Mapping[MachineKey, float]:
    """Return the AUC of each machine that has anomalies, at a site by itself: the same for all chains."""
    return {
        key: auc(
            one["truth"],
            MachineScorer().fit(one["train"]).score(one["test"])[0]["local_whitened"].test,
        )
        for key, one in _by_machine(raw).items()
        if one["truth"].any() and not one["truth"].all()
    }


def worth(
    released: Material,
    *,
    alone: Mapping[MachineKey, float],
    sharing: Sharing,
    seed: int,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> Worth:
    """Let all machines learn together by what was released of each; `alone` is what they reach without.

    `settings` are of the ID classifier. Where it is trained by DP-SGD, nothing else comes back, as in a
    round.
    """
    shared = _by_machine(released)
    networks: dict[MachineKey, Network] = {}
    config = preset_config("compact", assignments=[*SHORTENED, *settings])
    if sharing == "embeddings" and len(shared) > 1:
        classifier = train_classifier(
            FramePool({key: one["train"] for key, one in shared.items()}),
            config,
            stack_frames=1,
            stack_hop=1,
            seed=seed,
            progress=progress,
            stage=f"what {released.chain} is worth",
        )
        networks = {key: Network(classifier, key) for key in shared}
    pools = _pools(released, shared) if config.dp_epsilon is None else {}
    found: dict[str, list[float]] = {}
    for key in alone:
        one = shared[key]
        truth = one["truth"]
        together = MachineScorer(pool=pools.get(key), network=networks.get(key)).fit(one["train"])
        for method, pair in together.score(one["test"])[0].items():
            if np.isfinite(pair.test).all():
                found.setdefault(method, []).append(auc(truth, pair.test))
    kept = {
        name: float(np.mean(found[name]))
        for name in ("statistics", "network", "fused")
        if len(found.get(name, ())) == len(alone) > 0
    }
    return Worth(float(np.mean(list(alone.values()))) if alone else None, kept, len(alone))


def _pools(
    released: Material, shared: Mapping[MachineKey, dict[str, Any]]
) -> Mapping[MachineKey, Moments]:
    """Return each machine's pool of all others, as the server makes it, or a site from the sum of all."""
    moments = dict(released.moments)
    if not moments:
        for key, one in shared.items():
            if len(one["train"]) >= LEAST_CLIPS:
                with suppress(DataError):
                    moments[key] = moments_of(mean_frames(one["train"]))
    if not released.secure:
        return pool_for(list(shared), moments).of
    others = {key: [one for other, one in moments.items() if other != key] for key in shared}
    return {key: pooled(own) for key, own in others.items() if own}


def _by_machine(material: Material) -> dict[MachineKey, dict[str, Any]]:
    """Return each machine's frames of training and test clips, and which of the latter are anomalies."""
    groups: dict[MachineKey, dict[str, Any]] = {}
    vectors: Sequence[NDArray[np.float16]] = material.vectors or [
        sample.frames for sample in material.samples
    ]
    for sample, own in zip(material.samples, vectors, strict=True):
        group = groups.setdefault(sample.key, {"train": [], "test": [], "truth": []})
        if sample.split == "train":
            group["train"].append(own)
        elif sample.label is not None:
            group["test"].append(own)
            group["truth"].append(sample.label == "anomaly")
    return {
        key: {**group, "truth": np.array(group["truth"], bool)}
        for key, group in sorted(groups.items())
        if group["train"]
    }
