"""From scores to alarms: where normal ends."""

from __future__ import annotations

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
