"""Multitask conformer (Zhang, Suo, Wan and Li, 2023): outliers seen, inliers modelled, three scores.

``config`` what can be set | ``inputs`` log-mel of clips, changed or as they are | ``batches`` who sits in a
batch | ``network`` encoder and heads | ``fitting`` loss and the two stages | ``scoring`` the three scores and
their combinations | ``selection`` which of them to act on | ``system`` all of it in one place, as a System.
"""

from thrum.systems.multitask_conformer.config import Config
from thrum.systems.multitask_conformer.system import MultitaskConformer

__all__ = ["Config", "MultitaskConformer"]
