"""What may leave a site, and in which form: the gate, and the mechanisms before it.

``gate`` what everything passes | ``chain`` mechanisms one after the other, as a person writes them |
``steps`` those for embeddings | ``statistics`` those for how clips vary | ``noise`` how much of it, and what
it costs | ``budget`` what was spent | ``secret`` what sites know and the server does not | ``masking``,
``shares`` sums of which nobody sees the parts.
"""

from thrum.privacy.mechanisms.chain import Chain, parse_chain
from thrum.privacy.mechanisms.gate import (
    LEAST_CLIPS,
    RELEASED_DTYPE,
    release,
    release_statistics,
)
from thrum.privacy.mechanisms.statistics import (
    StatisticsChain,
    parse_statistics_chain,
    told_release,
)

__all__ = [
    "LEAST_CLIPS",
    "RELEASED_DTYPE",
    "Chain",
    "StatisticsChain",
    "parse_chain",
    "parse_statistics_chain",
    "release",
    "release_statistics",
    "told_release",
]
