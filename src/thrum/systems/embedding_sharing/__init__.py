"""Embedding sharing (Dohi and Kawaguchi): one ID classifier on the embeddings of all sites.

``config`` what can be set | ``pool`` the embeddings of several machines | ``classifier`` trains and applies
the ID classifier | ``scoring`` scores of one machine | ``system`` all of it in one place, as a System.
"""

from thrum.systems.embedding_sharing.classifier import IDClassifier, train_classifier
from thrum.systems.embedding_sharing.config import PRESETS, Config
from thrum.systems.embedding_sharing.pool import FramePool, groups_of
from thrum.systems.embedding_sharing.scoring import (
    MachineScores,
    fused_scores,
    local_scores,
    score_machine,
)
from thrum.systems.embedding_sharing.system import EmbeddingSharing

__all__ = [
    "PRESETS",
    "Config",
    "EmbeddingSharing",
    "FramePool",
    "IDClassifier",
    "MachineScores",
    "fused_scores",
    "groups_of",
    "local_scores",
    "score_machine",
    "train_classifier",
]
