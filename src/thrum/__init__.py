"""thrum finds failing machines by their sound, and lets sites learn together without sharing recordings.

The public verbs are resolved when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thrum.datasets import open_dataset as open_dataset
    from thrum.detectors import create_detector as create_detector
    from thrum.embedders import create_embedder as create_embedder
    from thrum.evaluation import evaluate as evaluate
    from thrum.monitoring import open_monitor as open_monitor
    from thrum.systems import create_system as create_system
    from thrum.systems import load_system as load_system

__version__ = "0.1.0.dev0"

_VERBS = {
    "create_detector": "thrum.detectors",
    "create_embedder": "thrum.embedders",
    "create_system": "thrum.systems",
    "evaluate": "thrum.evaluation",
    "load_system": "thrum.systems",
    "open_monitor": "thrum.monitoring",
    "open_dataset": "thrum.datasets",
}

__all__ = sorted(["__version__", *_VERBS])


def __getattr__(name: str) -> object:
    if name in _VERBS:
        return getattr(importlib.import_module(_VERBS[name]), name)
    raise AttributeError(f"module 'thrum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
