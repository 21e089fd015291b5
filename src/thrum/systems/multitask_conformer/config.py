"""What can be set in the multitask conformer; the defaults are the paper's where it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from thrum.config import require_at_least, require_positive
from thrum.errors import ConfigError
from thrum.features.augment import Strengths


@dataclass(frozen=True)
class Config:
    """Settings of encoder, tasks, training and scores.

    Sections are of the paper (Zhang, Suo, Wan and Li, 2023); "ours" marks what it leaves open.

    Parameters
    ----------
    size, blocks, heads, feed_forward
        Of the conformer (section 3.2).
    subsample
        Begin with the convolutions that Gulati et al.'s encoder begins with, which leave a quarter of the
        frames. The paper does not mention them, but without them nothing comes near its 2 M parameters.
    kernel, dropout
        Of the conformer; Gulati et al.'s (32 has no centre, hence 31).
    embedding_size
        Of the pooled feature (section 3.2).
    scale, margin
        s and m of ArcFace (section 3.2).
    id_weight, augmentation_weight
        α and β (eq. 3).
    id_classes
        What the ID head tells apart: the machine IDs of the target type, as the paper, or ``all`` of the
        training clips'. Where a type has one ID, both are all. Ours: where a type has few IDs with few clips,
        telling these apart is too little to learn from.
    type_task, augmentation_task
        Whether there is L_type, and so a stage two with pseudo-anomalies in it, and L_aug. For ablations;
        without the second, clips are still augmented.
    augmented
        The part of the clips that is augmented, which way drawn evenly: of 28, one of each kind. Ours.
    augmentation
        How strong; ours.
    inlier_epochs, epochs
        Of stage one, the type head frozen, and of stage two (section 3.2). 0 leaves a stage out.
    learning_rate
        Of Adam (section 3.2).
    averaging
        The decay of the running mean of the weights that each stage ends with; 0, as the paper, takes those
        after the last step. What a single step does to the distances is evened out. Ours.
    batch_size
        Clips; in stage two half of them are pseudo-anomalous (section 3.2).
    steps_per_epoch
        Batches of an epoch. None takes as many as it needs until every clip of the target type was in one.
        Ours.
    crop_seconds
        How much of a clip one input of training covers, at a random place. None takes the median length of
        the training clips: all of a clip where they are equally long, as the paper's 10 s. Scores are always
        of whole clips. Ours.
    members
        How many networks a machine type has, each trained from its own seed: their features stand side by
        side, what their heads say is averaged. Ours; the paper has one.
    bf16
        Train with bfloat16 where PyTorch finds it safe (autocast). Ours.
    shrinkage
        Of the covariances in eq. 4: 0 is the plain sample covariance, 1 a sphere; None is Ledoit and Wolf's,
        next to nothing where clips are many and what makes eq. 4 possible where they are few. Ours.
    standardise_by
        Scores are brought to one scale by mean and deviation of those of the ``training`` clips
        (section 2.3), or with each training clip ``left_out`` of the mean and covariance that it is
        measured by.
    score
        What the system acts on: ``combined``, the combination that is selected for each machine type without
        an anomaly, one of the seven throughout, or the ``odds`` against the machine ID. All are computed.
    """

    size: int = 128
    blocks: int = 3
    heads: int = 4
    feed_forward: int = 512
    subsample: bool = True
    kernel: int = 31
    dropout: float = 0.1
    embedding_size: int = 64
    scale: float = 16.0
    margin: float = 1.28
    id_weight: float = 1.0
    augmentation_weight: float = 1.0
    id_classes: Literal["own", "all"] = "own"
    type_task: bool = True
    augmentation_task: bool = True
    augmented: float = 0.25
    augmentation: Strengths = field(default_factory=Strengths)
    inlier_epochs: int = 80
    epochs: int = 40
    learning_rate: float = 1e-3
    averaging: float = 0.98
    batch_size: int = 28
    steps_per_epoch: int | None = None
    crop_seconds: float | None = None
    members: int = 1
    bf16: bool = False
    shrinkage: float | None = None
    standardise_by: Literal["training", "left_out"] = "training"
    score: Literal[
        "combined", "out", "arc", "maha", "out+arc", "out+maha", "arc+maha", "out+arc+maha", "odds"
    ] = "combined"

    def __post_init__(self) -> None:
        require_at_least(
            self,
            size=1,
            blocks=1,
            heads=1,
            feed_forward=1,
            kernel=1,
            embedding_size=1,
            inlier_epochs=0,
            epochs=0,
            batch_size=2,
            steps_per_epoch=1,
            members=1,
        )
        require_positive(self, "learning_rate", "crop_seconds")
        if self.size % self.heads:
            raise ConfigError(f"size {self.size} is not a multiple of heads, {self.heads}")
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel is {self.kernel}, wanted an odd number")
        if not 0 <= self.averaging < 1:
            raise ConfigError(f"averaging is {self.averaging}, wanted 0 to below 1")
        for name in ("augmented", "dropout", "shrinkage"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}, wanted between 0 and 1")

    @property
    def dimensions(self) -> int:
        """Of a clip's features, of all members."""
        return self.members * self.embedding_size
