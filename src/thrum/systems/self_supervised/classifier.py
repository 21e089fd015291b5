"""One trained section classifier: of all machines, or of those of one type."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import config as configs
from thrum.systems.self_supervised.config import Config
from thrum.systems.self_supervised.fitting import AttributeValues, fit_network
from thrum.systems.self_supervised.inputs import Inputs
from thrum.systems.self_supervised.network import SectionClassifier, Sizes
from thrum.types import Progress

MachineKey = tuple[str, str]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classifier:
    """A network that tells some sections apart.

    Parameters
    ----------
    keys
        Of these sections, in the order of the classes.
    sizes, network
        The network in evaluation mode.
    """

    keys: tuple[MachineKey, ...]
    sizes: Sizes
    network: SectionClassifier

    @classmethod
    def fit(
        cls,
        inputs: Inputs,
        config: Config,
        *,
        wav2vec2: int,
        seed: int,
        name: str = "",
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Train a network on clips that stand section by section.

        Parameters
        ----------
        wav2vec2
            D of the pretrained features, 0 where there are none.
        name
            Of what is trained, among several.
        folder
            Where the checkpoint is kept.
        """
        found = [clip.machine_key for clip in inputs.clips]
        keys = tuple(dict.fromkeys(found))
        sections = np.array([keys.index(key) for key in found])
        attributes = AttributeValues.of(inputs.clips)
        if config.auxiliary and max(attributes.sizes, default=0) < 2:
            among = f" of {name}" if name else ""
            _log.warning("no attribute%s varies: training goes without the auxiliary loss", among)
        sizes = Sizes(
            tuple(inputs.features),
            inputs.bands,
            wav2vec2,
            len(keys),
            sum(attributes.sizes) if config.auxiliary else 0,
        )
        torch.manual_seed(seed)
        network = SectionClassifier(sizes, config).to(inputs.device)
        fit_network(
            network,
            inputs,
            sections,
            attributes,
            config,
            seed=seed,
            checkpoint=folder and folder / f"training{name and f'-{name}'}.safetensors",
            progress=progress,
            stage=f"training the section classifier{name and f' of {name}'}",
        )
        return cls(keys, sizes, network)

    @torch.inference_mode()
    def embedded(self, inputs: Inputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the embeddings (N, E) of whole clips, and their logits (N, K)."""
        network = self.network
        embeddings = np.zeros((len(inputs.clips), network.tdnn.embedding_size), np.float32)
        logits = np.zeros((len(inputs.clips), self.sizes.sections), np.float32)
        for row, length in enumerate(
            inputs.lengths.tolist()
        ):  # one by one: no clip touches another
            embedded = network(inputs.batch([row], [0], length))
            embeddings[row] = embedded.cpu().numpy()[0]
            logits[row] = network.logits(embedded)[0].cpu().numpy()[0]
        return embeddings, logits

    def described(self) -> dict[str, Any]:
        """Return what `restored` wants beside the network's tensors."""
        return {"keys": [list(key) for key in self.keys], "sizes": asdict(self.sizes)}

    @classmethod
    def restored(
        cls,
        tensors: Mapping[str, Tensor],
        described: Mapping[str, Any],
        config: Config,
        *,
        device: torch.device,
    ) -> Self:
        """Return the classifier of a network's tensors and what `described` told."""
        sizes = configs.from_mapping(Sizes, described["sizes"], where="sizes")
        network = SectionClassifier(sizes, config)
        network.load_state_dict(dict(tensors))
        keys = tuple((machine, machine_id) for machine, machine_id in described["keys"])
        return cls(keys, sizes, network.eval().to(device))


def groups_of(
    keys: Sequence[MachineKey], *, per_machine_type: bool
) -> dict[str, tuple[MachineKey, ...]]:
    """Return the sections of each classifier, by its name; that of all has none."""
    if not per_machine_type:
        return {"": tuple(keys)}
    types = dict.fromkeys(machine for machine, _ in keys)
    return {name: tuple(key for key in keys if key[0] == name) for name in types}
