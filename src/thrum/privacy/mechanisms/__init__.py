"""What may leave a site, and in which form: the gate, and the mechanisms before it.

``gate`` what everything passes | ``chain`` mechanisms one after the other, as a person writes them |
``steps`` those for embeddings | ``noise`` how much of it, and what it costs | ``secret`` what sites know and
the server does not.
"""

from thrum.privacy.mechanisms.chain import Chain, parse_chain
from thrum.privacy.mechanisms.gate import (
    LEAST_CLIPS,
    RELEASED_DTYPE,
    release,
    release_statistics,
)

__all__ = [
    "LEAST_CLIPS",
    "RELEASED_DTYPE",
    "Chain",
    "parse_chain",
    "release",
    "release_statistics",
]
