"""What was learnt of one machine type: its network, an evaluator for each machine ID, what to act on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import config as configs
from thrum import storage
from thrum.systems.multitask_conformer.config import Config
from thrum.systems.multitask_conformer.fitting import Target
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.network import Ensemble, MultitaskNetwork, Sizes
from thrum.systems.multitask_conformer.scoring import Evaluator, Readings
from thrum.systems.multitask_conformer.selection import proxy_aucs, selected

_log = logging.getLogger(__name__)


@dataclass
class TypeModel:
    """The network of a machine type and what stands behind it.

    Parameters
    ----------
    network
        Encoder and heads, trained.
    evaluators
        Of each machine ID, by its name, in the order of their numbers.
    combination
        Which scores to act on.
    """

    network: Ensemble
    evaluators: dict[str, Evaluator]
    combination: str

    @classmethod
    def fitted(
        cls,
        network: Ensemble,
        spectrograms: Spectrograms,
        target: Target,
        config: Config,
        *,
        seed: int,
    ) -> Self:
        """Learn what is usual of each machine ID, and select the combination."""
        model = cls(network, {}, "")
        readings = model.read(spectrograms, target.rows)
        for number, name in enumerate(target.names):
            own = readings.take(np.flatnonzero(target.ids == number))
            evaluator = Evaluator(number, shrinkage=config.shrinkage)
            model.evaluators[name] = evaluator.fit(
                own, left_out=config.standardise_by == "left_out"
            )
        evaluators = list(model.evaluators.values())
        areas = proxy_aucs(network, spectrograms, target, readings, evaluators, seed=seed)
        model.combination = selected(areas)
        told = ", ".join(f"{name} {area.mean():.3f}" for name, area in areas.items())
        _log.info("%s: AUC on stand-ins for anomalies: %s", target.machine, told)
        return model

    def read(self, spectrograms: Spectrograms, rows: NDArray[np.int64]) -> Readings:
        """Return what the network makes of whole clips, in the order of their `rows`."""
        found = [(some, self.network.read(levels)) for some, levels in spectrograms.whole(rows)]
        came = np.concatenate([some for some, _ in found])
        parts = zip(*(readings for _, readings in found), strict=True)
        stacked = Readings(*(np.concatenate(part) for part in parts))
        order = np.argsort(came)
        return stacked.take(order[np.searchsorted(came[order], rows)])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and a description, of which `restored` makes the same again."""
        tensors = {
            f"{_name(number)}.{name}": value
            for number, member in enumerate(self.network.each)
            for name, value in member.state_dict().items()
        }
        for evaluator in self.evaluators.values():
            features = evaluator.distance_.vectors_.astype(np.float32)
            tensors[f"{evaluator.number}.features"] = torch.from_numpy(features)
            tensors[f"{evaluator.number}.scales"] = torch.from_numpy(evaluator.scales_)
        sizes = asdict(self.network.sizes)
        described = {"ids": list(self.evaluators), "sizes": sizes, "acts_on": self.combination}
        return tensors, {**described, "arc": "cosine"}

    @classmethod
    def restored(
        cls,
        tensors: Mapping[str, Tensor],
        description: Mapping[str, Any],
        config: Config,
        *,
        device: torch.device,
    ) -> Self:
        """Return what `state` described."""
        sizes = configs.from_mapping(Sizes, description["sizes"], where="sizes")
        network = Ensemble([MultitaskNetwork(sizes, config) for _ in range(config.members)])
        for number, member in enumerate(network.each):
            member.load_state_dict(storage.under(tensors, _name(number)))
        network.eval()
        evaluators = {}
        for number, name in enumerate(description["ids"]):
            features, scales = tensors[f"{number}.features"], tensors[f"{number}.scales"].numpy()
            evaluator = Evaluator(number, shrinkage=config.shrinkage)
            if (
                "arc" not in description
            ):  # arc was the odds once: its scale is not that of the cosine
                left_out = config.standardise_by == "left_out"
                scales = evaluator.fit(network.each[0].heads(features), left_out=left_out).scales_
            evaluators[name] = evaluator.restore(features.numpy(), scales)
        return cls(network.to(device), evaluators, description["acts_on"])


def _name(number: int) -> str:
    """Return what a member's weights are called; the first's name is that of runs that knew no other."""
    return f"network_{number}" if number else "network"
