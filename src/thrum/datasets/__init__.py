"""Datasets: folders of recordings (or features) as clips with names, labels and domains."""

from thrum.datasets.base import DATASETS, learnable, open_dataset
from thrum.datasets.windows import Cutting

__all__ = ["DATASETS", "Cutting", "learnable", "open_dataset"]
