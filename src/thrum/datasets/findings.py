"""What spoils learning without a word: silence, clipping, hum, copies, clips unlike the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from thrum.datasets.measuring import Floats, Measured
from thrum.types import Clip

DC, DC_SHARE = 0.01, 0.25
"""Of full scale, and of the sound's own root mean square, that an offset must be."""
CLIPPED_SHARE = 1e-4
BEYOND = 1.5
CANCELLED_DB = 10.0
HUM_SHARE = 0.95
LEAST_SECONDS = 0.2
"""One input of the autoencoder baseline, five frames: shorter clips are repeated to fill it."""
FEWEST_CLIPS = 10
LEVEL_DB = 12.0
SPECTRUM_DB = 8.0
"""From the middle clip of a machine: beyond what its load does, and what the weather does to a microphone."""
DEVIATIONS = 6.0
"""As many typical deviations as well, where a machine's clips differ much among themselves."""
FEWEST_TO_COMPARE = 5


@dataclass(frozen=True)
class Finding:
    """Something that a person should look at.

    Parameters
    ----------
    kind
        Its name, the same in every language of output.
    severity
        ``error`` where results would be wrong; ``warning`` where learning may suffer.
    machine, machine_id
        Whose clips.
    clips
        Their names, all of them.
    says
        What it is and what to do, in a sentence.
    """

    kind: str
    severity: Literal["warning", "error"]
    machine: str
    machine_id: str
    clips: tuple[str, ...]
    says: str

    @property
    def count(self) -> int:
        """How many clips there are."""
        return len(self.clips)


Pair = tuple[Clip, Measured]


def of_machine(key: tuple[str, str], pairs: Sequence[Pair]) -> list[Finding]:
    """Return what there is to find among the clips of one machine ID."""
    found: list[Finding] = []

    def note(
        kind: str,
        clips: Iterable[Clip],
        says: str,
        severity: Literal["warning", "error"] = "warning",
    ) -> None:
        names = tuple(clip.name for clip in clips)
        if names:
            found.append(Finding(kind, severity, *key, names, says))

    for kind, (is_so, says) in _OF_CLIPS.items():
        if own := [pair for pair in pairs if is_so(pair[1])]:
            note(kind, [clip for clip, _ in own], says([measured for _, measured in own]))
    sounding = [pair for pair in pairs if not pair[1].constant]
    for kind, unlike in (
        ("level", _unlike_levels(sounding)),
        ("spectrum", _unlike_spectra(sounding)),
    ):
        note(kind, unlike, _UNLIKE[kind])
    train = [pair for pair in pairs if pair[0].split == "train"]
    if 0 < len(train) < FEWEST_CLIPS:
        note(
            "few clips",
            [clip for clip, _ in train],
            f"{len(train)} training clips: with fewer than {FEWEST_CLIPS} nobody knows how much normal sound "
            f"differs; record more, or cut into shorter clips with --clip-seconds",
        )
    rates = {
        split: {m.sample_rate for c, m in pairs if c.split == split} for split in ("train", "test")
    }
    if rates["train"] and rates["test"] - rates["train"]:
        others = rates["test"] - rates["train"]
        note(
            "rates",
            [clip for clip, m in pairs if clip.split == "test" and m.sample_rate in others],
            f"{_hertz(others)} where training clips have {_hertz(rates['train'])}: the recorder may be told "
            f"from the fault; record both alike",
        )
    return found


def copies(pairs: Sequence[Pair]) -> list[Finding]:
    """Return which recordings are there twice, whatever their names and formats, in the whole dataset."""
    alike: dict[str, list[Clip]] = {}
    for clip, measured in pairs:
        if not measured.constant:
            alike.setdefault(measured.digest, []).append(clip)
    groups: dict[tuple[str, tuple[str, str]], list[Clip]] = {}
    for clips in alike.values():
        if len(clips) > 1:
            groups.setdefault((_kind_of(clips), clips[0].machine_key), []).extend(clips)
    return [
        Finding(
            kind,
            "warning" if kind in ("copies", "copies of machines") else "error",
            *key,
            tuple(_full_name(clip) for clip in clips),
            _COPIES[kind],
        )
        for (kind, key), clips in groups.items()
    ]


def _kind_of(clips: Sequence[Clip]) -> str:
    if {clip.label for clip in clips} >= {"normal", "anomaly"}:
        return "copies as normal and anomaly"
    if len({clip.split for clip in clips}) > 1:
        return "copies in training and test"
    return "copies of machines" if len({clip.machine_key for clip in clips}) > 1 else "copies"


def _full_name(clip: Clip) -> str:
    return f"{clip.machine}/{clip.machine_id}/{clip.name}"


_COPIES = {
    "copies as normal and anomaly": "one recording is both normal and an anomaly: remove the wrong one",
    "copies in training and test": "tested on what was trained on, which flatters: remove one of each",
    "copies of machines": "one recording stands for two machines: no method can tell them apart by it",
    "copies": "the same recording several times counts several times: remove all but one",
}
_UNLIKE = {
    "level": f"{LEVEL_DB:g} dB or more off the machine's other clips: was the gain changed, the "
    f"microphone moved, the machine off?",
    "spectrum": f"{SPECTRUM_DB:g} dB or more off the spectrum of the machine's other clips: another "
    f"machine, another microphone, speech?",
}


def _share(measured: Sequence[Measured]) -> str:
    return f"up to {max(each.clipped for each in measured):.2%} of samples"


_OF_CLIPS: dict[str, tuple[Callable[[Measured], bool], Callable[[Sequence[Measured]], str]]] = {
    "silence": (
        lambda m: m.constant and m.peak < 2**-15,
        lambda _: "digital silence: was the microphone connected?",
    ),
    "constant": (
        lambda m: m.constant and m.peak >= 2**-15,
        lambda _: "all samples are one and the same value: was the microphone connected?",
    ),
    "offset": (
        lambda m: not m.constant and abs(m.mean) > max(DC, DC_SHARE * 10 ** (m.level_db / 20)),
        lambda found: (
            f"an offset of up to {max(abs(m.mean) for m in found):.3f} of full scale: take it away "
            f"with a high-pass filter"
        ),
    ),
    "clipping": (
        lambda m: m.clipped > CLIPPED_SHARE,
        lambda found: f"{_share(found)} stand at the limits: record with less gain",
    ),
    "beyond full scale": (
        lambda m: m.peak > BEYOND,
        lambda found: (
            f"samples up to {max(m.peak for m in found):.4g} where 1 is full scale: divide by the "
            f"scale when exporting"
        ),
    ),
    "opposite channels": (
        lambda m: m.cancelled_db > CANCELLED_DB,
        lambda _: (
            "channels are mirror images and cancel when mixed: turn one round, or read one alone "
            "(the column channel of --labels)"
        ),
    ),
    "dropouts": (
        lambda m: m.dropouts > 0,
        lambda found: (
            f"the sound stands still, up to {max(m.dropouts for m in found)} times a clip: lost "
            f"buffers, a loose cable?"
        ),
    ),
    "repeated buffers": (
        lambda m: m.repeats > 0,
        lambda found: (
            f"stretches come twice on end, up to {max(m.repeats for m in found)} a clip: buffers "
            f"that the recorder repeated"
        ),
    ),
    "mains hum": (
        lambda m: not m.constant and m.hum > HUM_SHARE,
        lambda _: (
            "hardly anything but multiples of 50 or 60 Hz: mains hum, or a machine that only hums?"
        ),
    ),
    "short": (
        lambda m: m.seconds < LEAST_SECONDS,
        lambda found: (
            f"{min(m.seconds for m in found):.3f} s and more, under {LEAST_SECONDS} s, one "
            f"input of a method; they are repeated to fill it"
        ),
    ),
}


def _unlike_levels(pairs: Sequence[Pair]) -> list[Clip]:
    """Return normal clips of a level unlike that of the training clips."""
    train = np.array([m.level_db for clip, m in pairs if clip.split == "train"])
    if len(train) < FEWEST_TO_COMPARE:
        return []
    middle = float(np.median(train))
    limit = max(LEVEL_DB, DEVIATIONS * _typical(np.abs(train - middle)))
    return [
        clip for clip, m in pairs if clip.label != "anomaly" and abs(m.level_db - middle) > limit
    ]


def _unlike_spectra(pairs: Sequence[Pair]) -> list[Clip]:
    """Return normal clips of a spectrum unlike that of the training clips, whatever their level."""
    train = [m.spectrum_db for clip, m in pairs if clip.split == "train"]
    if len(train) < FEWEST_TO_COMPARE:
        return []
    middle = np.array([_middle(band) for band in np.array(train).T])
    apart = {id(clip): _apart(m.spectrum_db, middle) for clip, m in pairs}
    usual = np.array([apart[id(clip)] for clip, _ in pairs if clip.split == "train"])
    limit = max(SPECTRUM_DB, float(np.median(usual)) + DEVIATIONS * _typical(usual))
    return [clip for clip, _ in pairs if clip.label != "anomaly" and apart[id(clip)] > limit]


def _middle(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _apart(spectrum: Floats, middle: Floats) -> float:
    """Return how far a spectrum is from another, in dB: the mean over the bands that both have."""
    both = np.isfinite(spectrum) & np.isfinite(middle)
    if not both.any():
        return 0.0
    apart = (spectrum - middle)[both]
    return float(np.abs(apart - np.median(apart)).mean())


def _typical(deviations: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(deviations)))


def _hertz(rates: Iterable[int]) -> str:
    return " and ".join(str(rate) for rate in sorted(rates)) + " Hz"
