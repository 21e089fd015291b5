"""What can be set in self-supervised classification; the defaults are the paper's where it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from thrum.config import require_at_least, require_positive
from thrum.errors import ConfigError

Feature = Literal["logmel", "tgram", "wav2vec2"]


@dataclass(frozen=True)
class FineTuning:
    """Settings of fine-tuning; the paper says that it is done and not how: all are ours.

    Parameters
    ----------
    epochs
        Few: there are some thousand clips, and the task is easy.
    learning_rate
        Of Adam; that of Baevski et al. for fine-tuning on 960 h.
    batch_size
        Clips.
    crop_seconds
        How much of a clip one input covers, at a random place: attention needs the square of it.
    """

    epochs: int = 10
    learning_rate: float = 3e-5
    batch_size: int = 16
    crop_seconds: float = 4.0

    def __post_init__(self) -> None:
        require_at_least(self, epochs=1, batch_size=1)
        require_positive(self, "learning_rate", "crop_seconds")


@dataclass(frozen=True)
class Config:
    """Settings of the classifier and of the score that it acts on.

    Sections are of the paper (Wang, Du and Wang, 2022); "ours" marks what it leaves open.

    Parameters
    ----------
    features
        Which feature maps to concatenate (eq. 4), one to three of ``logmel``, ``tgram``, ``wav2vec2``. The
        paper's best is all three; the default is the best of those that need no weights to be fetched.
    wav2vec2
        A folder in transformers' format (``config.json``, ``model.safetensors``), for instance one that
        ``thrum fine-tune`` wrote. None takes the base model that ``thrum weights fetch`` stored.
    fine_tuned, fine_tuning
        First fine-tune these weights on the training clips, and how, as the paper does (section II-A). Not
        the default: it costs hours without a GPU, and weights that ``thrum fine-tune`` wrote have been
        through it.
    auxiliary
        Also classify the value of each attribute of each clip (eq. 5); clips without any do not take part.
    per_machine_type
        One classifier a machine type instead of one of all sections. The paper counts attributes by machine
        type and says no more. The default is one of all: a section is then told from other machines too,
        and a type with one section can be learnt. Ours.
    score
        What the system acts on: the ``posterior`` (eq. 6) or the ``distance`` (eq. 7). Both are computed.
    neighbours
        Over how many nearest training clips the distance is averaged; 1 is eq. 7.
    triplet_margin
        None takes the soft margin, which Hermans et al. find best; this paper names no margin. Ours.
    width, pooled_width, embedding_size
        Of the TDNN. The paper says "TDNN" and no more: these are the x-vector's (Snyder et al., 2018).
    crop_seconds
        How much of a clip one input of training covers, at a random place; shorter clips are repeated.
        None takes the median length of the training clips: all of a clip where they are equally long, as
        the paper's 10 s. Scores are always of whole clips. Ours.
    sections_per_batch, clips_per_section
        P and K of a batch, so that every clip has a hard positive and hard negatives (Hermans et al. use
        P = 18, K = 4). Where there are fewer sections, all of them. Ours.
    epochs, learning_rate
        Of Adam (section III-B.1).
    """

    features: tuple[Feature, ...] = ("logmel", "tgram")
    wav2vec2: Path | None = None
    fine_tuned: bool = False
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    auxiliary: bool = True
    per_machine_type: bool = False
    score: Literal["posterior", "distance"] = "distance"
    neighbours: int = 1
    triplet_margin: float | None = None
    width: int = 512
    pooled_width: int = 1500
    embedding_size: int = 512
    crop_seconds: float | None = None
    sections_per_batch: int = 16
    clips_per_section: int = 4
    epochs: int = 100
    learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        if not self.features or len(set(self.features)) < len(self.features):
            came = ", ".join(self.features) or "none"
            raise ConfigError(f"features: got {came}; wanted one, two or three different ones")
        require_at_least(
            self,
            neighbours=1,
            width=1,
            pooled_width=1,
            embedding_size=1,
            sections_per_batch=2,
            clips_per_section=1,
            epochs=1,
        )
        require_positive(self, "learning_rate", "crop_seconds")
        if self.fine_tuned and "wav2vec2" not in self.features:
            raise ConfigError(
                "fine_tuned wants wav2vec 2.0, but features do not hold 'wav2vec2': add it there"
            )
        if self.wav2vec2 is not None and "wav2vec2" not in self.features:
            raise ConfigError(
                "wav2vec2 names a folder of weights, but features do not hold 'wav2vec2': add it there"
            )
