"""The data that a table wants: where they lie, how large they are, and how to get them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, write_dataset
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, Progress

SAMPLE_RATE, SAMPLE_BYTES = 16000, 2  # of every dataset here, as published


@dataclass(frozen=True)
class Source:
    """One set of recordings.

    Parameters
    ----------
    title
        How it is called.
    folder
        Where it lies below ``--data``.
    wants
        What must be in `folder` for the data to be whole.
    layout
        The reader; empty finds out.
    fetch
        What to give ``thrum data fetch`` for it; empty where it cannot be fetched.
    machines
        Those that take part; empty for all.
    tested
        Patterns of ``machine/machine_id`` that are scored; empty for all that have labels.
    train_clips, test_clips
        How many there are of these machines.
    clip_seconds, channels
        Of a recording.
    synthetic
        The settings of a simulation that makes the data.
    """

    title: str
    folder: str = "."
    wants: tuple[str, ...] = ()
    layout: str = ""
    fetch: str = ""
    machines: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    train_clips: int = 0
    test_clips: int = 0
    clip_seconds: float = 10.0
    channels: int = 1
    synthetic: SyntheticConfig | None = None

    @property
    def disk_bytes(self) -> float:
        """What the recordings take on disk, 16 bits a sample."""
        seconds = (self.train_clips + self.test_clips) * self.clip_seconds
        return seconds * SAMPLE_RATE * SAMPLE_BYTES * self.channels

    def missing(self, data: Path | None) -> str | None:
        """Return what to tell where the recordings are not below `data`; None where they are."""
        if self.synthetic is not None:
            return None
        if data is None:
            where = "no --data was given"
        else:
            root = data / self.folder
            absent = [
                path for path in (root, *(root / name for name in self.wants)) if not path.exists()
            ]
            if not absent:
                return None
            where = f"there is no {absent[0]}"
        told = [f"{self.title}: {where}"]
        if self.disk_bytes:
            told.append(f"wanted: about {self.disk_bytes / 1e9:.0f} GB of recordings")
        if self.fetch:
            told.append(f"get them with: {self.fetch_command(data)}")
        return "; ".join(told)

    def fetch_command(self, data: Path | None = None) -> str:
        """Return the command that fetches the recordings into `data`."""
        dataset, _, rest = self.fetch.partition(" ")
        return f"thrum data fetch {dataset} --out {data or 'DIR'} {rest}".rstrip()

    def prepare(self, out: Path, *, progress: Progress | None = None) -> None:
        """Simulate the recordings, where they are simulated; what is there is kept."""
        if self.synthetic is not None:
            write_dataset(self.synthetic, self._root(None, out), progress=progress)

    def open(self, data: Path | None, out: Path) -> Dataset:
        """Return the clips of the machines that take part; of the test clips those with a label."""
        if problem := self.missing(data):
            raise DatasetError(problem)
        dataset = open_dataset(self._root(data, out), layout=self.layout or None)
        if absent := sorted(set(self.machines) - set(dataset.machines)):
            told = f"; get what is missing with: {self.fetch_command(data)}" if self.fetch else ""
            raise DatasetError(f"{dataset.root} has no machine {', '.join(absent)}{told}")
        return replace(dataset, clips=tuple(clip for clip in dataset if self._takes(clip)))

    def _root(self, data: Path | None, out: Path) -> Path:
        if self.synthetic is not None:
            return out / "simulated" / self.folder
        assert data is not None
        return data / self.folder

    def _takes(self, clip: Clip) -> bool:
        if self.machines and clip.machine not in self.machines:
            return False
        if clip.split == "train":
            return True
        name = "/".join(clip.machine_key)
        tested = not self.tested or any(fnmatch(name, pattern) for pattern in self.tested)
        return tested and clip.label is not None
