"""From scores to alarms: where normal ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError


def gamma_threshold(scores: NDArray[np.float64], *, quantile: float = 0.9) -> float:
    """Return the quantile of a gamma distribution fitted to the scores of normal clips.

    The official baselines of DCASE task 2 set their alarm so since 2021, at the 90th percentile. Shape,
    location and scale are those of the greatest likelihood; where all scores are equal, it is that score.

    Parameters
    ----------
    scores
        (N,), of normal clips.
    quantile
        The share of normal clips that raises no alarm.

    Raises
    ------
    DataError
        Where there are no scores, or they are not finite, or `quantile` is not between 0 and 1.
    """
    from scipy import stats

    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
        raise DataError(
            f"a threshold wants finite scores (N,) of normal clips, got shape {scores.shape} with "
            f"{int((~np.isfinite(scores)).sum())} that are not finite"
        )
    if not 0 < quantile < 1:
        raise DataError(f"the quantile of a threshold is {quantile}, wanted between 0 and 1")
    middle, spread = scores.mean(), scores.std()
    if spread <= 1e-12 * abs(middle):
        return float(middle)
    # In units of their spread, the search begins and ends alike whatever the scores are measured in.
    with np.errstate(all="ignore"):
        fitted = stats.gamma.fit((scores - middle) / spread)
        standardised = float(stats.gamma.ppf(quantile, *fitted))
    return float(middle + spread * standardised)


def percentile_threshold(scores: NDArray[np.float64], *, quantile: float = 0.9) -> float:
    """Return the quantile of the scores of normal clips themselves, with no distribution assumed."""
    return float(np.quantile(np.asarray(scores, np.float64), quantile))


def conformal_threshold(scores: NDArray[np.float64], *, false_alarms: float = 0.05) -> float | None:
    """Return from which score on a clip has a conformal p-value up to `false_alarms`; None where none has.

    With p = (1 + #{left-out ≥ s}) / (n + 1), these are the scores above the k-th largest of the n, with
    k = ⌊`false_alarms` (n + 1)⌋: then at most such a share of exchangeable normal clips raises an alarm.
    """
    known = np.sort(np.asarray(scores, np.float64))[::-1]
    k = math.floor(false_alarms * (len(known) + 1) + 1e-9)
    return float(np.nextafter(known[k - 1], np.inf)) if k >= 1 else None


def calibrations(
    left_out: Mapping[tuple[str, str], NDArray[np.float64]],
) -> dict[str, dict[tuple[str, str], float]]:
    """Return every way to set a threshold, by name, for each machine ID that has left-out scores.

    The official one of the challenge, the plain percentile, and two that promise a rate of false alarms.
    """
    found: dict[str, dict[tuple[str, str], float]] = {
        "official: gamma, 90th percentile": {},
        "90th percentile": {},
        "conformal, 10 % false alarms": {},
        "conformal, 5 % false alarms": {},
    }
    gamma, percentile, tenth, twentieth = found.values()
    for key, scores in left_out.items():
        if len(scores) < 2:
            continue
        gamma[key] = gamma_threshold(scores)
        percentile[key] = percentile_threshold(scores)
        for thresholds, rate in ((tenth, 0.1), (twentieth, 0.05)):
            threshold = conformal_threshold(scores, false_alarms=rate)
            if threshold is not None:
                thresholds[key] = threshold
    return {name: thresholds for name, thresholds in found.items() if thresholds}
