"""Datasets: folders of recordings (or features) as clips with names, labels and domains."""

from thrum.datasets.base import DATASETS, open_dataset
from thrum.datasets.windows import Cutting

__all__ = ["DATASETS", "Cutting", "open_dataset"]
