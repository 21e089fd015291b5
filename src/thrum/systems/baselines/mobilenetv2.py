"""The official section classifier of DCASE task 2, 2021 and 2022, as a System.

What its network does not take for a machine's own section is strange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.errors import ConfigError, DataError
from thrum.networks.mobilenetv2 import MobileNetV2
from thrum.systems.baselines.trained import Fitted, MachineKey, TrainedBaseline, TrainedConfig
from thrum.systems.self_supervised.scoring import posterior_scores


@dataclass(frozen=True)
class Config(TrainedConfig):
    """Settings of the section classifier, beside those of `TrainedConfig`.

    The organisers' of 2021 and 2022: images of 64 frames every 8, 20 epochs of Adam at 1e-5, batches of 32.

    Parameters
    ----------
    score
        ``posterior``: log((1 - p)/p), p the probability of the machine's own section, its mean over the
        images of a clip (eq. 6 of Wang, Du and Wang, 2022).
    network_per
        One a ``machine_type`` tells its sections apart. One for ``all`` tells all machine IDs apart; it is
        the way for types of which there is one machine.
    width
        What MobileNetV2's channels are multiplied by.
    """

    score: Literal["posterior"] = "posterior"
    stack_frames: int = 64
    hop_frames: int = 8
    network_per: Literal["machine_type", "all"] = "machine_type"
    width: float = 0.5
    epochs: int = 20
    learning_rate: float = 1e-5
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.width <= 1:
            raise ConfigError(f"width is {self.width}, wanted more than 0 and 1 at most")


class SectionClassifierBaseline(TrainedBaseline[MobileNetV2]):
    """The section classifier; it offers ``posterior``."""

    Config: ClassVar[type[Config]] = Config
    name: ClassVar[str] = "mobilenetv2"
    methods: ClassVar[tuple[str, ...]] = ("posterior",)

    def _network(self, bands: int, keys: Sequence[MachineKey]) -> MobileNetV2:
        if len(keys) < 2:
            raise DataError(
                f"{'/'.join(keys[0])} is the only machine that its network learns, and there is nothing "
                f"to tell it from: set network_per = 'all', or give other machines of its type"
            )
        return MobileNetV2(len(keys), width=self.config.width)

    def _loss(self, network: MobileNetV2, windows: Tensor, owners: Tensor) -> Tensor:
        return functional.cross_entropy(network(windows), owners)

    def _clip_scores(
        self, fitted: Fitted[MobileNetV2], windows: Tensor, owner: int
    ) -> NDArray[np.float64]:
        # As many at a time as in training: a network over all of a long clip would need gigabytes.
        logits = torch.cat(
            [fitted.network(some) for some in torch.split(windows, self.config.batch_size)]
        )
        return np.array([posterior_scores(logits.cpu().numpy(), owner).mean()])
