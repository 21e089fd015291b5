"""Outlier exposure with a normalizing flow (Fujimura et al., DCASE 2023 task 2, technical report).

``config`` what can be set, ``variants`` table 1 and the ensembles | ``frontend`` what a clip is cut into |
``roles`` which clips are target and which pseudo-anomalous, and what a condition is | ``batches`` batches and
mixup | ``network`` feature extractor, heads and flow | ``fitting`` eqs. 1 to 8 | ``inlier`` models of the
embeddings | ``scoring`` from segments to clips | ``combining`` several scores to one | ``system`` all of it.
"""

from thrum.systems.outlier_flow.config import Config
from thrum.systems.outlier_flow.system import OutlierFlow

__all__ = ["Config", "OutlierFlow"]
