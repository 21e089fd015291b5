"""The one gate through which everything passes that leaves a site.

`release` is called for every embedding a site sends, in a simulation as in a deployment, so that what is
measured is what is deployed. Today it only rounds to half precision and refuses what is not an embedding;
mechanisms that add noise or project belong here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ProtocolError

RELEASED_DTYPE = np.float16
"""Half precision halves what is sent and stored; embeddings lose 0.05 % of a value at most."""


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
    if not np.isfinite(released).all():
        raise ProtocolError("refused to send embeddings with values that are NaN or beyond 65504")
    return released
