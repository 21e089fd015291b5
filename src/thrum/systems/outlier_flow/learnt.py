"""One trained network with its inlier models: how it is learnt, what it scores, how it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import config as configs
from thrum import storage
from thrum.systems.outlier_flow.combining import Members, Pair
from thrum.systems.outlier_flow.config import Config
from thrum.systems.outlier_flow.fitting import fit_network, labelled
from thrum.systems.outlier_flow.frontend import Spectrograms
from thrum.systems.outlier_flow.inlier import Choice, InlierModels, possible_data
from thrum.systems.outlier_flow.network import OutlierFlowNetwork, Shape, begin_with
from thrum.systems.outlier_flow.roles import MachineKey, Target
from thrum.systems.outlier_flow.scoring import Measured, measured, pseudo_target
from thrum.systems.outlier_flow.variants import VARIANTS
from thrum.types import Progress


@dataclass(frozen=True)
class Learnt:
    """One network, and what was learnt of each of its target's machine IDs.

    Parameters
    ----------
    variant, parameter
        What it was trained for; ``""`` is no parameter.
    shape, network
        The network in evaluation mode.
    models
        Inlier models by machine ID; empty where the variant has none.
    training
        By machine ID, the training clips' scores (N,) by each member.
    losses
        Of each epoch.
    """

    variant: str
    parameter: str
    shape: Shape
    network: OutlierFlowNetwork
    models: dict[MachineKey, InlierModels]
    training: dict[MachineKey, dict[str, NDArray[np.float64]]]
    losses: list[float]

    @classmethod
    def fit(
        cls,
        target: Target,
        variant: str,
        parameter: str,
        spectrograms: Spectrograms,
        config: Config,
        *,
        seed: int,
        checkpoint: Path | None,
        progress: Progress | None,
    ) -> Self:
        """Train a network and, where its variant has them, inlier models of each machine ID."""
        shape, labels = labelled(spectrograms.clips, target, variant, parameter, config)
        torch.manual_seed(seed)
        network = OutlierFlowNetwork(config, VARIANTS[variant], shape).to(spectrograms.device)
        if config.backbone:
            begin_with(network, Path(config.backbone))
        condition = f" by {parameter}" if parameter else ""
        losses = fit_network(
            network,
            spectrograms,
            labels,
            config,
            seed=seed,
            stage=f"training {variant} of {target.name}{condition}",
            checkpoint=checkpoint,
            progress=progress,
        )
        learnt = cls(variant, parameter, shape, network, {}, {}, losses)
        learnt.know(target, spectrograms, config, seed=seed)
        return learnt

    def know(
        self, target: Target, spectrograms: Spectrograms, config: Config, *, seed: int
    ) -> None:
        """Learn what is usual of each machine ID by what the network makes of its clips."""
        for key in target.keys:
            rows = [row for row, clip in enumerate(spectrograms.clips) if clip.machine_key == key]
            normal = self._measured(spectrograms, rows, config, spectrograms.segment_frames)
            self.training[key] = dict(normal.scores)
            if "knn" in VARIANTS[self.variant].families:
                models = self._inlier_models(spectrograms, rows, normal, config, seed=seed)
                self.models[key] = models
                self.training[key] |= models.training_

    def members(
        self,
        key: MachineKey,
        spectrograms: Spectrograms,
        rows: Sequence[int],
        config: Config,
        *,
        segment_frames: int,
    ) -> Members:
        """Return the scores of a machine ID's training clips and of the clips in `rows`, by member."""
        heard = self._measured(spectrograms, rows, config, segment_frames)
        new = dict(heard.scores)
        if key in self.models:
            new |= self.models[key].scores(heard)
        return {member: Pair(self.training[key][member], scores) for member, scores in new.items()}

    def state(self, keys: Sequence[MachineKey]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and a description that `restored` understands; `keys` numbers machine IDs."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for key, training in self.training.items():
            place = keys.index(key)
            for member, scores in training.items():
                tensors[f"{place}.training.{member}"] = torch.from_numpy(scores)
            if key in self.models:
                for name, value in self.models[key].tensors().items():
                    tensors[f"{place}.models.{name}"] = value
        description = {
            "variant": self.variant,
            "parameter": self.parameter,
            "shape": asdict(self.shape),
            "keys": [keys.index(key) for key in self.training],
            "losses": self.losses,
        }
        return tensors, description

    @classmethod
    def restored(
        cls,
        tensors: Mapping[str, Tensor],
        description: Mapping[str, Any],
        config: Config,
        *,
        keys: Sequence[MachineKey],
        device: torch.device,
    ) -> Self:
        """Return what `state` told of."""
        variant = VARIANTS[description["variant"]]
        shape = configs.from_mapping(Shape, description["shape"], where="shape")
        network = OutlierFlowNetwork(config, variant, shape)
        network.load_state_dict(storage.under(tensors, "network"))
        models, training = {}, {}
        for place in description["keys"]:
            own = storage.under(tensors, str(place))
            training[keys[place]] = {
                n: v.numpy() for n, v in storage.under(own, "training").items()
            }
            if "knn" in variant.families:
                models[keys[place]] = InlierModels.from_tensors(
                    config.inlier_sizes, config.covariance, storage.under(own, "models")
                )
        return cls(
            description["variant"],
            description["parameter"],
            shape,
            network.eval().to(device),
            models,
            training,
            list(description["losses"]),
        )

    def _inlier_models(
        self,
        spectrograms: Spectrograms,
        rows: Sequence[int],
        normal: Measured,
        config: Config,
        *,
        seed: int,
    ) -> InlierModels:
        clips = [spectrograms.clips[row] for row in rows]
        target = np.array([clip.domain == "target" for clip in clips])
        name = "/".join(clips[0].machine_key)
        in_target = target[normal.clips]  # (sum of S,)
        segments = {"source": ~in_target, "both": np.ones(len(in_target), bool)}
        choices: dict[str, Choice] = {}
        for kind in possible_data(config.inlier_data, in_target, name=name):
            if kind == "pseudo-target":
                pseudo = pseudo_target(
                    self.network,
                    spectrograms,
                    np.asarray(rows)[~target],
                    np.asarray(rows)[target],
                    alpha=config.mixup_alpha,
                    random=np.random.default_rng(seed),
                )
                choices[kind] = Choice(pseudo, np.zeros(len(in_target), bool))
            else:
                choices[kind] = Choice(normal.embeddings[segments[kind]], segments[kind])
        return InlierModels(config.inlier_sizes, config.covariance).fit(normal, choices)

    def _measured(
        self, spectrograms: Spectrograms, rows: Sequence[int], config: Config, segment_frames: int
    ) -> Measured:
        return measured(
            self.network,
            spectrograms,
            np.asarray(rows),
            segment_frames=segment_frames,
            weighted=config.weighted_machines,
        )
