"""Datasets: folders of recordings (or features) as clips with names, labels and domains."""

from thrum.datasets.base import DATASETS, open_dataset

__all__ = ["DATASETS", "open_dataset"]
