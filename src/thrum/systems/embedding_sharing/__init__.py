"""Embedding sharing (Dohi and Kawaguchi), and sharing of statistics beside it.

What sites share: ``pool`` the embeddings of several machines | ``moments`` how the clips of one machine
vary, ``others`` the pools of all but one. What is learnt: ``classifier`` the ID classifier, ``fitting``
how it is trained, ``whitening`` a part of it | ``blend`` own and others' covariance. Scores:
``statistics`` from mean embeddings | ``network_scores`` from the classifier | ``scoring`` all of them.
``config`` what can be set | ``system`` all of it in one place, as a System.
"""

from thrum.systems.embedding_sharing.classifier import IDClassifier
from thrum.systems.embedding_sharing.config import PER_MACHINE_TYPE, PRESETS, Config, preset_config
from thrum.systems.embedding_sharing.fitting import train_classifier
from thrum.systems.embedding_sharing.moments import Moments, moments_of, pooled
from thrum.systems.embedding_sharing.network_scores import Network, NetworkScores
from thrum.systems.embedding_sharing.pool import FramePool, groups_of
from thrum.systems.embedding_sharing.scoring import (
    ALONE,
    METHODS,
    MachineScorer,
    local_scores,
    local_whitened_scores,
    network_scores,
    pool_scores,
    selected,
    statistics_scores,
)
from thrum.systems.embedding_sharing.statistics import ScorePair, mean_frames
from thrum.systems.embedding_sharing.system import EmbeddingSharing

__all__ = [
    "ALONE",
    "METHODS",
    "PER_MACHINE_TYPE",
    "PRESETS",
    "Config",
    "EmbeddingSharing",
    "FramePool",
    "IDClassifier",
    "MachineScorer",
    "Moments",
    "Network",
    "NetworkScores",
    "ScorePair",
    "groups_of",
    "local_scores",
    "local_whitened_scores",
    "mean_frames",
    "moments_of",
    "network_scores",
    "pool_scores",
    "pooled",
    "preset_config",
    "selected",
    "statistics_scores",
    "train_classifier",
]
