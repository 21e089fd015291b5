"""Which dataset readers there are, and which of them reads a given folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from thrum.datasets.windows import Cutting, cut
from thrum.errors import DatasetError
from thrum.registry import Registry
from thrum.types import Dataset


class Reader(Protocol):
    """Reads one layout of folders; has no state."""

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether `root` is laid out as this reader expects; looks at names only, and at few."""
        ...

    @staticmethod
    def read(root: Path) -> Dataset:
        """Return the clips under `root`, sorted; raise `DatasetError` where that cannot be done."""
        ...


DATASETS: Registry[Reader] = Registry(
    "dataset",
    {
        "arrays": "thrum.datasets.arrays:Arrays",
        "mimii": "thrum.datasets.mimii:MIMII",
        "dcase": "thrum.datasets.dcase:DCASE",
        "folder": "thrum.datasets.folder:Folder",
    },
)


def open_dataset(
    root: Path | str, *, layout: str | None = None, cutting: Cutting | None = None
) -> Dataset:
    """Open the folder `root` as a dataset.

    Parameters
    ----------
    root
        The folder that holds the machines' folders (or the ``.npz`` files).
    layout
        The name of a reader; None takes the first of `DATASETS` that recognises the folder.
    cutting
        How long recordings become clips; None cuts those of more than 30 s into windows of 10 s.

    Raises
    ------
    DatasetError
        Where the folder is missing, empty, or of no known layout.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(
            f"no folder at {root}: wanted a folder of recordings, one sub-folder a machine"
        )
    dataset = _reader(root, layout).read(root)
    return replace(dataset, clips=tuple(cut(dataset.clips, cutting or Cutting())))


def _reader(root: Path, layout: str | None) -> type[Reader]:
    if layout is not None:
        return DATASETS.load(layout)
    for name in DATASETS:
        reader = DATASETS.load(name)
        if reader.recognises(root):
            return reader
    raise DatasetError(
        f"no recordings and no features where thrum looks for them in {root}. The simplest layout "
        f"is one sub-folder a machine, in it a folder 'normal' of wav or flac files, optionally "
        f"'anomaly'; docs/datasets.md draws the others."
    )
