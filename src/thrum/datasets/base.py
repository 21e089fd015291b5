"""Which dataset readers there are, and which of them reads a given folder."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from thrum.datasets.holding import held_out_of_long
from thrum.datasets.labels import by_patterns, by_table
from thrum.datasets.windows import Cutting, cut
from thrum.errors import DatasetError, UsageError
from thrum.registry import Registry
from thrum.types import Dataset, group_by_machine

MOST_COUNTED = 10_000  # files that are counted for an error

_logger = logging.getLogger(__name__)


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
    root: Path | str,
    *,
    layout: str | None = None,
    labels: Path | str | None = None,
    normal: Sequence[str] = (),
    anomaly: Sequence[str] = (),
    cutting: Cutting | None = None,
) -> Dataset:
    """Open the folder `root` as a dataset.

    Parameters
    ----------
    root
        The folder that holds the machines' folders (or the ``.npz`` files).
    layout
        The name of a reader; None takes the first of `DATASETS` that recognises the folder.
    labels
        A table that says of each file what it is, for any layout (see `thrum.datasets.labels`).
    normal, anomaly
        Patterns of file names that say so instead.
    cutting
        How long recordings become clips; None cuts those of more than 30 s into windows of 10 s.

    Raises
    ------
    DatasetError
        Where the folder is missing, empty, or of no known layout.
    UsageError
        Where it is said in two ways how to read it.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(
            f"no folder at {root}: wanted a folder of recordings, one sub-folder a machine"
        )
    if sum(map(bool, (layout, labels, normal or anomaly))) > 1:
        raise UsageError("say one of --layout, --labels, or --normal and --anomaly")
    if labels:
        dataset = by_table(root, Path(labels))
    elif normal or anomaly:
        dataset = by_patterns(root, normal, anomaly)
    else:
        dataset = _reader(root, layout).read(root)
    clips = list(cut(dataset.clips, cutting or Cutting()))
    return replace(dataset, clips=tuple(held_out_of_long(clips)))


def learnable(dataset: Dataset) -> Dataset:
    """Return the dataset without machine IDs that have no training clip; the log and `left_out` name them."""
    groups = group_by_machine(dataset)
    reasons = [
        (
            own[0].path.parent,
            f"no normal training clips of {'/'.join(key)}: nothing to learn it from",
        )
        for key, own in groups.items()
        if not any(clip.split == "train" for clip in own)
    ]
    if not reasons or len(reasons) == len(groups):
        return dataset
    for path, reason in reasons:
        _logger.warning("left out %s: %s", path, reason)
    kept = tuple(
        clip for own in groups.values() if any(c.split == "train" for c in own) for clip in own
    )
    return replace(dataset, clips=kept, left_out=(*dataset.left_out, *reasons))


def _reader(root: Path, layout: str | None) -> type[Reader]:
    if layout is not None:
        return DATASETS.load(layout)
    for name in DATASETS:
        reader = DATASETS.load(name)
        if reader.recognises(root):
            return reader
    raise DatasetError(
        f"no recordings and no features where thrum looks for them in {root}{_held(root)}. "
        f"The simplest layout is one sub-folder a machine, in it a folder 'normal' of recordings, "
        f"optionally 'anomaly'; docs/datasets.md draws the others."
    )


def _held(root: Path) -> str:
    """Return what a folder holds instead of recordings, for an error."""
    held: Counter[str] = Counter()
    for _, _, names in os.walk(root):
        held.update(Path(name).suffix.lower() or "no suffix" for name in names)
        if held.total() > MOST_COUNTED:
            break
    most = sorted(held.items(), key=lambda item: (-item[1], item[0]))[:5]
    found = ", ".join(f"{count} of {suffix}" for suffix, count in most)
    return f" (it holds files, {found})" if found else " (it holds no files)"
