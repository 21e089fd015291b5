"""Embedding sharing (Dohi and Kawaguchi): one ID classifier on the embeddings of all sites.

``config`` what can be set | ``pool`` the embeddings of several machines | ``classifier`` the ID classifier,
``fitting`` how it is trained | ``whitening`` what embeddings vary by within machines | ``scoring`` scores of
one machine | ``system`` all of it in one place, as a System.
"""

from thrum.systems.embedding_sharing.classifier import IDClassifier
from thrum.systems.embedding_sharing.config import PER_MACHINE_TYPE, PRESETS, Config, preset_config
from thrum.systems.embedding_sharing.fitting import train_classifier
from thrum.systems.embedding_sharing.pool import FramePool, groups_of
from thrum.systems.embedding_sharing.scoring import (
    MachineScores,
    ScorePair,
    combined,
    fused,
    local_scores,
    local_whitened_scores,
    score_machine,
)
from thrum.systems.embedding_sharing.system import EmbeddingSharing

__all__ = [
    "PER_MACHINE_TYPE",
    "PRESETS",
    "Config",
    "EmbeddingSharing",
    "FramePool",
    "IDClassifier",
    "MachineScores",
    "ScorePair",
    "combined",
    "fused",
    "groups_of",
    "local_scores",
    "local_whitened_scores",
    "preset_config",
    "score_machine",
    "train_classifier",
]
