"""What networks that were trained by DP-SGD have cost clips so far, kept at the server across rounds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple
from pathlib import Path

from thrum import storage
from thrum.federation.messages import MachineKey
from thrum.systems.embedding_sharing import Config
from thrum.systems.embedding_sharing.private import Cost, epsilon_of

FILE = "budget.json"


class TrainingCosts:
    """Each training of each machine's clips: every round trains anew, with new noise, and costs again.

    Parameters
    ----------
    path
        The file that keeps them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def spend(self, machines: Collection[MachineKey], cost: Cost, config: Config) -> str:
        """Note that networks are trained on machines' clips, before they leave; return it in words."""
        spent = storage.read_sealed(self.path, unsealed=True) if self.path.exists() else {}
        for key in machines:
            spent.setdefault("/".join(key), []).append(list(astuple(cost)))
        storage.private_folder(self.path.parent)
        storage.write_sealed(self.path, spent, private=True)
        most = max((spent["/".join(key)] for key in machines), key=len)
        told = (
            f"the networks are trained by DP-SGD: whoever has them tells with epsilon "
            f"{epsilon_of([cost], config.dp_delta):.4g} at delta {config.dp_delta:g} at most whether any one "
            f"clip was among those trained on"
        )
        if len(most) == 1:
            return told
        total = epsilon_of([Cost(*one) for one in most], config.dp_delta)
        return f"{told}; with the {len(most)} rounds so far, epsilon {total:.4g}"
