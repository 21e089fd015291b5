"""The one gate through which everything passes that leaves a site.

`release` is called for every embedding a site sends, `release_statistics` for every covariance, in a
simulation as in a deployment, so that what is measured is what is deployed. They round, and refuse what is
not what it should be; the mechanisms of `thrum.privacy.mechanisms.chain` come before them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ProtocolError

RELEASED_DTYPE = np.float16
"""Half precision halves what is sent and stored; embeddings lose 0.05 % of a value at most."""

LEAST_CLIPS = 5
"""Of a machine whose statistics may leave: two clips' covariance *is* their difference. Ours."""


def release(embeddings: NDArray[Any]) -> NDArray[np.float16]:
    """Return the form in which frame embeddings (T, D) may leave the site.

    Raises
    ------
    ProtocolError
        Where the array is not (T, D) with D > 1 (a waveform is not an embedding), or holds values that
        are not finite in half precision.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] < 2:
        raise ProtocolError(
            f"refused to let an array of shape {embeddings.shape} leave the site: "
            f"only frame embeddings (T, D) may"
        )
    with np.errstate(over="ignore"):
        released = np.ascontiguousarray(embeddings, dtype=RELEASED_DTYPE)
    if not all_finite(released):
        raise ProtocolError("refused to send embeddings with values that are NaN or beyond 65504")
    return released


def all_finite(halves: NDArray[np.float16]) -> bool:
    """Return whether no value is NaN or infinite, five times as fast as NumPy, which widens each.

    Those have an exponent of ones alone (IEEE 754, binary16).
    """
    exponent = np.uint16(0x7C00)
    return bool(((halves.view(np.uint16) & exponent) != exponent).all())


def release_statistics(
    count: int, axes: NDArray[Any], *, least: int = LEAST_CLIPS, noisy: bool = False
) -> NDArray[np.float32]:
    """Return the form in which how a machine's clips vary, axes (R, D), may leave the site.

    Parameters
    ----------
    least
        Clips that it must be of.
    noisy
        Whether noise was added, so that there are more axes than clips.

    Raises
    ------
    ProtocolError
        Where it is of fewer than `least` clips, or not such axes, or holds values that are not finite.
    """
    if count < least:
        raise ProtocolError(
            f"refused to let statistics of {count} clips leave the site, wanted at least {least}: "
            f"of fewer, they would give the clips' differences away"
        )
    most = axes.shape[-1] if noisy else min(count - 1, axes.shape[-1])
    if axes.ndim != 2 or axes.shape[1] < 2 or len(axes) > most:
        raise ProtocolError(f"refused to send statistics of shape {axes.shape} of {count} clips")
    if not np.isfinite(axes).all():
        raise ProtocolError("refused to send statistics with values that are NaN or infinite")
    return np.ascontiguousarray(axes, dtype=np.float32)
