"""MIMII (Purohit et al., DCASE Workshop 2019): eight channels, three mixtures with factory noise.

::

    <snr>_dB_<machine>/<machine>/id_<XX>/normal/*.wav      <snr> is -6, 0 or 6
    <snr>_dB_<machine>/<machine>/id_<XX>/abnormal/*.wav

The published archives unpack to ``<machine>/id_<XX>/…``, so that the folder around it is one's own
choice: the authors' ``6dB``, ``0dB`` and ``min6dB`` are read too. Without one, no SNR is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from thrum.datasets import listing
from thrum.types import Clip, Dataset, Label, Split

NEAREST_CHANNEL = {"valve": 0, "pump": 2, "fan": 4, "slider": 6}
"""The microphone that faces each machine, from 0 (figures 1 and 2 of the paper)."""

WANTED = "<snr>_dB_<machine>/<machine>/id_<XX>/{normal,abnormal}/*.wav"

_CHANNELS = 8
_SNR = re.compile(r"(?P<sign>min|-?)(?P<decibel>\d+)_?dB(_.+)?")
_MACHINE_ID = re.compile(r"id_\d+")


class MIMII:
    """Reads MIMII.

    Each SNR is an experiment of its own on the same recordings. So the SNR is part of the machine's
    name (``fan_6_dB``), and an attribute (``{"snr": "6_dB"}``). Open one SNR at a time where all
    machines learn together: a fan under other noise would be taken for another fan.

    There is no published split. As in the authors' baseline, the first normal recordings by name,
    as many as there are anomalies, are for testing and the rest for training.

    Of the eight channels, that of the microphone which faces the machine is read. The authors'
    baseline reads channel 0 for all.
    """

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a machine of MIMII lies in `root`."""
        return any(
            individual.snr or individual.machine in NEAREST_CHANNEL
            for individual in _individuals(root)
            if (individual.folder / "abnormal").is_dir()
        )

    @staticmethod
    def read(root: Path) -> Dataset:
        """Return the clips of every machine and SNR.

        Raises
        ------
        DatasetError
            Where there is none that has enough normal recordings to train and to test.
        """
        left_out: listing.LeftOut = []
        individuals = list(_individuals(root))
        listing.distinct(individuals, path_of=lambda individual: individual.folder)
        clips = [clip for individual in individuals for clip in _clips(individual, left_out)]
        return listing.dataset(clips, root, wanted=WANTED, left_out=left_out)


class _Individual(NamedTuple):
    snr: str | None
    machine: str
    folder: Path


def _individuals(root: Path) -> Iterator[_Individual]:
    """Yield every ``<machine>/id_<XX>`` in `root`, and in its sub-folders that name an SNR."""
    tops = [(_snr(root.resolve().name), root)]
    tops += [(snr, path) for path in listing.folders(root) if (snr := _snr(path.name))]
    for snr, top in tops:
        for machine in listing.folders(top):
            for folder in listing.folders(machine):
                parts = {path.name for path in listing.folders(folder)}
                if _MACHINE_ID.fullmatch(folder.name) and parts & {"normal", "abnormal"}:
                    yield _Individual(snr, machine.name, folder)


def _snr(name: str) -> str | None:
    match = _SNR.fullmatch(name)
    return f"{'-' if match['sign'] else ''}{match['decibel']}_dB" if match else None


def _clips(individual: _Individual, left_out: listing.LeftOut) -> Iterator[Clip]:
    snr, machine, folder = individual
    normal, abnormal = (
        listing.recordings(folder / name, left_out) if (folder / name).is_dir() else []
        for name in ("normal", "abnormal")
    )
    if len(normal) <= len(abnormal):
        reason = (
            f"{folder} has {len(normal)} normal and {len(abnormal)} abnormal recordings: wanted "
            f"more normal than abnormal ones, because as many are held out for testing"
        )
        left_out.append((folder, reason))
        return
    of_eight = listing.channel_count(normal) == _CHANNELS
    parts: tuple[tuple[Split, Label, list[Path]], ...] = (
        ("test", "normal", normal[: len(abnormal)]),
        ("train", "normal", normal[len(abnormal) :]),
        ("test", "anomaly", abnormal),
    )
    for split, label, paths in parts:
        for path in paths:
            yield Clip(
                path,
                f"{machine}_{snr}" if snr else machine,
                folder.name,
                split,
                label=label,
                attributes={"snr": snr} if snr else {},
                channel=NEAREST_CHANNEL.get(machine, 0) if of_eight else None,
                name=f"{path.parent.name}/{path.name}",
            )
