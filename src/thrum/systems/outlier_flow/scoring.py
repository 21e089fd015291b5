"""What a network makes of clips: embeddings and surprise of segments, and means over them (eq. 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.systems.outlier_flow.frontend import Spectrograms, segment_starts
from thrum.systems.outlier_flow.network import OutlierFlowNetwork

SEGMENTS_AT_ONCE = 32


@dataclass(frozen=True)
class Measured:
    """The segments of N clips, one clip after the other.

    Parameters
    ----------
    embeddings
        (sum of S, E).
    weights
        (sum of S,), how much each counts in its clip: its power, or 1.
    clips
        (sum of S,), the number of the clip that each is of.
    scores
        The network's own scores (N,) of each clip: ``machine``, how little it is taken for the target (the
        mean of -g_machine), which the paper does not use, and, with a flow, ``flow``.
    """

    embeddings: NDArray[np.float32]
    weights: NDArray[np.float64]
    clips: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]

    def clip_means(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted mean (N,) of segments' scores (sum of S,): 𝒜 of eq. 4."""
        return weighted_means(scores, self.weights, self.clips)


def weighted_means(
    values: NDArray[np.float64], weights: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weighted mean of the values of each group; the plain one where all weights are 0."""
    totals = np.bincount(groups, weights=weights)
    silent = (totals == 0)[groups]
    weights = np.where(silent, 1.0, weights / np.where(silent, 1.0, totals[groups]))
    return np.bincount(groups, weights=weights * values) / np.bincount(groups, weights=weights)


def measured(
    network: OutlierFlowNetwork,
    spectrograms: Spectrograms,
    rows: NDArray[np.int64],
    *,
    segment_frames: int,
    weighted: Collection[str],
) -> Measured:
    """Run a network over 75 %-overlapping segments of clips.

    Parameters
    ----------
    rows
        Which of the spectrograms' clips.
    weighted
        Machine types whose moments count by their power. The flow's score map is weighted place by
        place in time, segments as wholes (section 3.2).
    """
    starts = [segment_starts(int(spectrograms.lengths[row]), segment_frames) for row in rows]
    clips = np.repeat(np.arange(len(rows)), [len(each) for each in starts])
    firsts = np.concatenate(starts)
    by_power = np.array([spectrograms.clips[row].machine in weighted for row in rows])[clips]
    embeddings, strange, loud, maps, map_weights = [], [], [], [], []
    for part in _parts(starts):
        of = rows[clips[part]]
        levels, power = spectrograms.segments(of, firsts[part], segment_frames)
        power = torch.where(torch.from_numpy(by_power[part])[:, None].to(power.device), power, 1.0)
        feature_maps = _maps(network, levels)
        embedded = network.embeddings(feature_maps)
        embeddings.append(embedded.cpu().numpy())
        strange.append(_plain(network.strangeness(embedded)))
        loud.append(_plain(power.mean(dim=1)))
        surprise = network.surprise(feature_maps)
        if surprise is not None:
            maps.append(_plain(surprise.mean(dim=1)))  # (B, W)
            map_weights.append(_plain(functional.adaptive_avg_pool1d(power, surprise.shape[2])))
    weights = np.concatenate(loud)
    scores = {"machine": weighted_means(np.concatenate(strange), weights, clips)}
    if maps:
        places = np.concatenate(maps)  # (sum of S, W)
        columns = np.repeat(clips, places.shape[1])
        scores["flow"] = weighted_means(
            places.ravel(), np.concatenate(map_weights).ravel(), columns
        )
    return Measured(np.concatenate(embeddings), weights, clips, scores)


def _parts(starts: Sequence[NDArray[np.int64]]) -> Iterator[slice]:
    """Yield stretches of all segments of one clip each: what comes of a clip must not depend on others."""
    first = 0
    for each in starts:
        for start in range(0, len(each), SEGMENTS_AT_ONCE):
            yield slice(first + start, first + min(start + SEGMENTS_AT_ONCE, len(each)))
        first += len(each)


def pseudo_target(
    network: OutlierFlowNetwork,
    spectrograms: Spectrograms,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    *,
    alpha: float,
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """Return embeddings (M, E) of source clips mixed with target clips (section 3.1).

    Each segment of a source clip is mixed with a random segment of one target clip, which weighs more. The
    paper gives no weights: they are those of training, the larger for the target.
    """
    segment_frames = spectrograms.segment_frames
    starts = [segment_starts(int(spectrograms.lengths[row]), segment_frames) for row in source]
    of = np.repeat(source, [len(each) for each in starts])
    places = np.concatenate(starts)
    partners = random.choice(target, len(source))
    partners = np.repeat(partners, [len(each) for each in starts])
    partner_places = random.integers(
        0, np.maximum(0, spectrograms.lengths[partners] - segment_frames) + 1
    )
    weights = random.beta(alpha, alpha, len(of))
    weights = np.maximum(weights, 1 - weights).astype(np.float32)
    embeddings = []
    for first in range(0, len(of), SEGMENTS_AT_ONCE):
        part = slice(first, first + SEGMENTS_AT_ONCE)
        own, _ = spectrograms.segments(of[part], places[part], segment_frames)
        other, _ = spectrograms.segments(partners[part], partner_places[part], segment_frames)
        weight = torch.from_numpy(weights[part])[:, None, None].to(own.device)
        maps = _maps(network, weight * other + (1 - weight) * own)
        embeddings.append(network.embeddings(maps).cpu().numpy())
    return np.concatenate(embeddings)


@torch.inference_mode()
def _maps(network: OutlierFlowNetwork, levels: Tensor) -> Tensor:
    return network.maps(levels)


def _plain(values: Tensor) -> NDArray[Any]:
    return np.asarray(values.double().cpu().numpy())
