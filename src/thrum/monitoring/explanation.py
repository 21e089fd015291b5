"""Why a clip is strange: where in time and frequency, beside which normal clip, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrum import audio
from thrum.errors import DataError
from thrum.monitoring.baseline import Baseline, Known, content_of
from thrum.monitoring.detail import detail_of
from thrum.monitoring.differences import Difference, Normal, differences
from thrum.monitoring.heard import RATE, Heard, hear
from thrum.monitoring.judgement import Judgement
from thrum.monitoring.occlusion import Relevance, occluded_features, occluded_sound
from thrum.sentences import Sentence
from thrum.types import Clip

if TYPE_CHECKING:
    from thrum.monitoring.monitor import Monitor

NEAREST = 5
"""Normal clips whose mean stands for what is usual where a patch is replaced."""


@dataclass(frozen=True)
class Explanation:
    """What makes a clip strange.

    Parameters
    ----------
    machine
        ``machine/machine_id``.
    judgement
        Of the clip, by itself.
    relevance
        How much of the score comes from each patch.
    nearest
        The normal clip that sounds most like it.
    different
        In words, the largest first of each kind.
    promise
        What the p-value stands on.
    """

    machine: str
    judgement: Judgement
    relevance: Relevance
    nearest: Known
    different: tuple[Difference, ...]
    promise: Sentence

    @property
    def place(self) -> Sentence:
        """The strongest patch in words."""
        time, band = self.relevance.strongest
        seconds, hz = self.relevance.seconds.tolist(), self.relevance.hz.tolist()
        steady = self.relevance.steady_band
        if steady is not None and self.judgement.clip.row is None:
            return Sentence("all_the_time", low=hz[steady], high=hz[steady + 1])
        return Sentence(
            "a_moment" if self.judgement.clip.row is None else "frames",
            begin=seconds[time],
            end=seconds[time + 1],
            low=hz[band],
            high=hz[band + 1],
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        judgement, relevance = self.judgement, self.relevance
        time, band = relevance.strongest
        return {
            "machine": self.machine,
            "file": judgement.file,
            "start_seconds": judgement.start_seconds,
            "anomaly_score": judgement.score,
            "p_value": judgement.p,
            "operating_state": judgement.operating,
            "notes": list(judgement.notes),
            "strongest_patch": {
                "seconds": relevance.seconds[time : time + 2].tolist(),
                "hz": relevance.hz[band : band + 2].tolist(),
                "score_falls_by": float(relevance.falls[time, band]),
            },
            "steady_band_hz": None
            if relevance.steady_band is None
            else relevance.hz[relevance.steady_band : relevance.steady_band + 2].tolist(),
            "seconds": relevance.seconds.tolist(),
            "hz": relevance.hz.tolist(),
            "score_falls_by": relevance.falls.tolist(),
            "louder_than_usual": None if relevance.louder is None else relevance.louder.tolist(),
            "nearest_normal_clip": {"name": self.nearest.name, "path": self.nearest.path},
            "different": [
                {"kind": each.kind, "words": each.words, **each.values} for each in self.different
            ],
            "promise": self.promise,
        }


def explain(monitor: Monitor, clip: Clip) -> Explanation:
    """Explain one clip.

    Raises
    ------
    DataError
        Where the clip is silent, or the run kept no normal sound to compare with.
    """
    baseline = monitor.baseline
    if not baseline.clips:
        raise DataError(
            f"the run of {monitor.name} kept no normal sound to compare with: train again with this version "
            f"of thrum, or add normal clips"
        )
    judged = monitor.judge(clip)
    if judged.refused:
        raise DataError(judged.refused[0][1])
    judgement = judged[0]
    if judgement.score is None:
        raise DataError(f"{clip.name} has no sound to explain: {judgement.notes[-1]}")
    heard = hear([clip])[0]
    near = nearest(baseline, heard, _state(monitor, heard), besides=monitor._known(clip))
    if clip.row is not None:
        usual = baseline.bands[near].mean(axis=0)
        relevance = occluded_features(clip, np.asarray(usual, np.float64), monitor.scores)
        different: list[Difference] = []
    else:
        sound = audio.read_clip(clip, sample_rate=RATE)
        usual = usual_spectrum(baseline, near)
        detail = detail_of(sound)
        own = _in_state(baseline, _state(monitor, heard), monitor._known(clip))
        relevance = occluded_sound(clip, sound, usual, monitor.scores)
        normal = Normal(baseline.levels_db[own], baseline.spectra[own], baseline.envelopes[own])
        different = differences(
            float(heard.level_db or 0.0), detail.spectrum, detail.envelope, normal
        )
    return Explanation(
        monitor.name,
        judgement,
        relevance,
        baseline.clips[near[0]],
        tuple(different),
        monitor.promises[_state(monitor, heard)],
    )


def nearest(
    baseline: Baseline, heard: Heard, state: str, *, besides: int | None = None
) -> NDArray[np.intp]:
    """Return the places of the `NEAREST` normal clips of a state that sound most like a clip, nearest "
    "first.
    """
    own = _in_state(baseline, state, besides)
    distances = np.mean((baseline.bands[own] - heard.bands) ** 2, axis=1)
    return own[np.argsort(distances, kind="stable")[:NEAREST]]


def usual_spectrum(baseline: Baseline, near: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the spectrum (2049,) in dB that normal clips have on the mean of their power."""
    power = 10 ** (np.asarray(baseline.spectra[near], np.float64) / 10)
    return np.asarray(10 * np.log10(power.mean(axis=0)))


def sounds(explanation: Explanation) -> list[NDArray[np.float32]]:
    """Return the clip and, where its file is still there, the nearest normal clip, (S,) at `RATE`."""
    clip = explanation.judgement.clip
    near = explanation.nearest.clip(clip.machine_key)
    own = [audio.read_clip(clip, sample_rate=RATE)]
    if near.path.is_file() and content_of(near) == explanation.nearest.sha256:
        own.append(audio.read_clip(near, sample_rate=RATE))
    return own


def _state(monitor: Monitor, heard: Heard) -> str:
    states = monitor.baseline.states
    return states.nearest(heard) if states else "normal"


def _in_state(baseline: Baseline, state: str, besides: int | None) -> NDArray[np.intp]:
    return np.array(
        [n for n, clip in enumerate(baseline.clips) if clip.state == state and n != besides],
        np.intp,
    )
