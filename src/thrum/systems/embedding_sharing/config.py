"""What can be set in embedding sharing; the defaults are the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from thrum import config as configs
from thrum.detectors.base import DETECTORS
from thrum.errors import ConfigError
from thrum.privacy.mechanisms.noise import check_budget

Training = Literal["pooled", "fedavg", "split", "shuffled", "untrained"]


@dataclass(frozen=True)
class Config:
    """Settings of the ID classifier and of the scores that come from it.

    Sections are of the embedding-sharing paper; "ours" marks what it leaves open.

    Parameters
    ----------
    embedder
        The frozen model. The paper's best is OpenL3 with 6144 dimensions; the default is our own, whose
        weights need not be fetched.
    form
        ``image``: stacked frames × dimensions as an image, through MobileFaceNet (section V-B).
        ``sequence``: dimensions as channels, depth-wise separable convolutions over time; cheap however
        many dimensions there are. Ours.
    members
        Networks trained side by side, each on all but its own share of every machine's clips; their
        scores are averaged, and a training clip's left-out score comes from the network that has not seen
        it. One is the paper's: a single network on everything. Ours.
    stack_frames, stack_hop
        Frames in one input of the network and from one input to the next. None takes the embedder's
        (section V-B) for ``image``; for ``sequence``, `crop` of a clip at three places.
    crop
        The part of a clip that one input of ``sequence`` covers. Ours.
    whiten
        Whiten frames by the covariance that they have within the machine IDs of the pool, instead of only
        scaling each dimension. Ours: what varies within every machine says little of faults.
    standardise
        Measure what frames are whitened or scaled by. Without, they are taken as they come, and a classifier
        carries nobody's mean (docs/privacy.md). Ours.
    embedding_size
        Of the network's output; MobileFaceNet's 128.
    scale, margin
        Of the additive angular margin (section V-B gives no values: ArcFace's usual 30 and 0.5).
    epochs, learning_rate, batch_size
        Section V-B.
    weight_decay
        AdamW's default.
    schedule
        ``constant`` (the paper mentions none), or ``cosine`` with a tenth of warming up.
    mixup
        Mix pairs of inputs, their margins in proportion. Ours, off in the paper's form.
    detector, neighbours
        The anomaly detector on each machine's embeddings and its k (section V-B: k-NN, 2).
    training
        ``pooled``: on the embeddings of all sites, as the paper proposes. What it is held against, for the
        bench, in one process: ``fedavg``, weights averaged over sites (sections III-B and IV-B; FedProx
        with `proximal`), and ``split``, clients in turn. Controls: ``shuffled``, the machine IDs of the
        clips permuted before the network is trained, and ``untrained``, the network as it was drawn.
    local_steps, local_learning_rate, proximal
        Of ``fedavg``: steps of plain gradient descent at a site in a round, their rate, and FedProx's μ.
        ``split`` stays as many steps at a client.
    norm
        Of the network's layers; ``group`` is the best chance of training on divided data. Ours.
    dp_epsilon, dp_delta
        Train by DP-SGD, so that all networks together are (ε, δ)-private for each clip
        (docs/privacy.md); None does not. Wants `norm` ``group``, and neither `mixup` nor `standardise`:
        they make one of many clips. Ours.
    clip_norm
        The length that the gradient of one clip has at most, under DP-SGD. Ours.
    """

    embedder: str = "modulation"
    form: Literal["image", "sequence"] = "image"
    members: int = 1
    stack_frames: int | None = None
    stack_hop: int | None = None
    crop: float = 0.64
    whiten: bool = False
    standardise: bool = True
    embedding_size: int = 128
    scale: float = 30.0
    margin: float = 0.5
    epochs: int = 20
    learning_rate: float = 1e-4
    batch_size: int = 32
    weight_decay: float = 1e-2
    schedule: Literal["constant", "cosine"] = "constant"
    mixup: bool = False
    detector: str = "knn"
    neighbours: int = 2
    training: Training = "pooled"
    local_steps: int = 1
    local_learning_rate: float = 1.0
    proximal: float = 0.0
    norm: Literal["batch", "group"] = "batch"
    dp_epsilon: float | None = None
    dp_delta: float = 1e-5
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        DETECTORS.load(self.detector)
        configs.require_at_least(
            self,
            members=1,
            stack_frames=1,
            stack_hop=1,
            embedding_size=1,
            epochs=1,
            batch_size=2,  # batch normalisation wants two
            neighbours=1,
            local_steps=1,
        )
        configs.require_positive(self, "scale", "learning_rate", "local_learning_rate")
        if self.proximal and self.training != "fedavg":
            raise ConfigError(
                f"proximal is {self.proximal}, but the training is {self.training!r}: "
                f"it is a setting of fedavg"
            )
        if not 0 < self.crop <= 1:
            raise ConfigError(f"crop is {self.crop}, wanted more than 0, at most 1")
        for name in ("margin", "weight_decay", "proximal"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, wanted 0 or more")
        if self.dp_epsilon is not None:
            self._check_private(self.dp_epsilon)

    def _check_private(self, epsilon: float) -> None:
        """Raise a `ConfigError` where a clip could not be protected."""
        check_budget(epsilon, self.dp_delta)
        configs.require_positive(self, "clip_norm")
        if self.form != "sequence" or self.training != "pooled":
            raise ConfigError(
                f"dp_epsilon is {epsilon:g}, form {self.form!r} and training {self.training!r}: DP-SGD wants "
                f"'sequence' and 'pooled', as --preset compact has them"
            )
        for name, wanted in PRIVATE.items():
            if getattr(self, name) != wanted:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, and with dp_epsilon it must be {wanted!r}: else "
                    f"what is learnt of one clip passes through others, and no noise covers it"
                )

    @property
    def told(self) -> str:
        """What a ledger must know of how networks were trained, after a comma; nothing of most."""
        if self.dp_epsilon is None:
            return ""
        return f", trained by DP-SGD with epsilon {self.dp_epsilon:g} at delta {self.dp_delta:g} a clip"

    def require_shareable(self) -> None:
        """Raise a `UsageError` where sites could not take part: they take registered names only."""
        DETECTORS.require(self.detector)


PRIVATE: Mapping[str, object] = {"norm": "group", "mixup": False, "standardise": False}
"""What DP-SGD wants; a preset takes it where `dp_epsilon` is set."""

PRESETS = {
    "paper": Config(embedder="openl3_6144"),
    "compact": replace(
        Config(),
        form="sequence",
        members=4,
        whiten=True,
        scale=16.0,
        margin=0.5,
        epochs=40,
        learning_rate=2e-3,
        batch_size=64,
        schedule="cosine",
        mixup=True,
    ),
}
"""``paper``: as printed, with the best of its four embedders. ``compact``: what we recommend, and the default
of ``thrum collaborate``: better and quicker on every real machine we could measure (docs/results.md)."""

PER_MACHINE_TYPE = {"paper": True, "compact": False}
"""Whether a preset's classifiers are one a machine type (section V-B), or one for all machines."""


def preset_config(
    preset: str, *, file: Path | None = None, assignments: Sequence[str] = ()
) -> Config:
    """Return a preset with the settings of a TOML file and ``key=value`` assignments applied to it."""
    if preset not in PRESETS:
        raise ConfigError(f"no preset is called {preset!r}; there are: {', '.join(PRESETS)}")
    values = configs.to_mapping(PRESETS[preset])
    named = {} if file is None else configs.read_toml(file)
    if "dp_epsilon" in {*named, *(one.partition("=")[0].strip() for one in assignments)}:
        values.update(PRIVATE)
    values.update(named)
    chosen = configs.from_mapping(Config, values, where=str(file or preset))
    return configs.with_overrides(chosen, assignments)
