"""Recordings that are not a dataset: files and folders to be scored, read as what was learnt was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thrum import audio
from thrum.datasets import listing
from thrum.datasets.base import open_dataset
from thrum.datasets.taking import Taking
from thrum.datasets.windows import Cutting, cut
from thrum.errors import DataError, DatasetError
from thrum.types import Clip

Key = tuple[str, str]


@dataclass(frozen=True)
class Found:
    """What there is to score.

    Parameters
    ----------
    clips
        Recordings, or windows of long ones, in the order asked for; each can be read.
    refused
        Recordings that cannot be used, each with the reason.
    left_out
        What lies among them and is none, or of another machine, each with the reason.
    """

    clips: tuple[Clip, ...]
    refused: tuple[tuple[Path, str], ...]
    left_out: tuple[tuple[Path, str], ...]


def find(
    paths: Sequence[Path],
    key: Key,
    *,
    takings: Mapping[str, Taking],
    cutting: Cutting | None = None,
) -> Found:
    """Return the recordings among `paths` as test clips of one machine ID.

    A folder that is a dataset with that machine ID gives its clips of it; of any other folder every
    recording is taken, at whatever depth. All are read once, so that a bad one does not cost the others
    their scores.

    Parameters
    ----------
    paths
        Files and folders.
    key
        The machine and machine ID that they are of.
    takings
        How the sound of each ``machine/machine_id`` was taken; the clips are taken likewise.
    cutting
        How long recordings are cut; None cuts them as those learnt were.

    Raises
    ------
    DataError
        Where there is no recording at all.
    """
    taking = takings.get("/".join(key))
    left_out: listing.LeftOut = []
    refused: list[tuple[Path, str]] = []
    clips: list[Clip] = []
    seen: set[Path] = set()
    for path in (path for given in paths for path in _recordings(given, key, left_out)):
        try:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            listing.require_utf8(path)
            clips += _clips(path, key, taking, cutting)
        except (DataError, OSError, RuntimeError) as error:
            refused.append((path, str(error)))
    if not clips and not refused:
        raise DataError(listing.nothing_in(paths, left_out))
    return Found(tuple(clips), tuple(refused), tuple(left_out))


def _recordings(given: Path, key: Key, left_out: listing.LeftOut) -> Iterator[Path]:
    """Yield the recordings that a path given means; a file is meant whatever it is called."""
    if not given.is_dir():
        yield given
        return
    try:
        dataset = open_dataset(given, cutting=Cutting(0))
    except DatasetError:  # it may hold labels or machines that nobody can make out: all are taken
        dataset = None
    if dataset is not None and dataset.holds == "audio" and key in dataset.machine_keys:
        left_out += dataset.left_out
        for clip in dataset:
            if clip.machine_key == key:
                yield clip.path
            else:
                left_out.append((clip.path, f"of {'/'.join(clip.machine_key)}"))
        return
    yield from listing.tree(given, left_out)


def _clips(path: Path, key: Key, taking: Taking | None, cutting: Cutting | None) -> list[Clip]:
    clip = Clip(path, *key, "test", channel=taking.channel if taking else None, name=str(path))
    for _ in audio.blocks(path, channel=clip.channel):
        pass
    if taking is not None:
        taking.require_alike(path)
        cutting = cutting or taking.cutting(audio.describe(path).seconds)
    return list(cut([clip], cutting or Cutting()))
