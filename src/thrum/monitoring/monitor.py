"""A monitor: what a run knows of one machine, brought to decisions on new recordings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrum.datasets import Cutting, files
from thrum.datasets.taking import Taking
from thrum.errors import AudioError, DataError, UsageError
from thrum.monitoring.alarms import AlarmSettings, promise
from thrum.monitoring.baseline import Baseline, content_of
from thrum.monitoring.conformal import p_values, tail_p_values
from thrum.monitoring.heard import SILENT_DB, Heard, hear
from thrum.monitoring.history import History
from thrum.monitoring.judgement import Judgement, Judgements, State
from thrum.monitoring.states import OFF, SILENT, UNKNOWN
from thrum.monitoring.stream import Stream
from thrum.sentences import Sentence
from thrum.systems.base import System
from thrum.types import Clip

if TYPE_CHECKING:
    from thrum.monitoring.explanation import Explanation

SHORT = 0.5
"""Of the usual length of a clip: of a shorter one it is said."""
SHORTEST_SECONDS = 0.064
"""A frame of the spectrogram: less is no clip."""
FOLDERS = 3
"""Above a file, whose names may say which machine it is of, as ``fan/id_00/normal/0.wav`` does."""
_ID = re.compile(r"(?<![a-z0-9])(?:id|section)_\d+")

MachineKey = tuple[str, str]
Sound = str | Path | Clip | NDArray[Any] | Sequence["str | Path | Clip"]


class Monitor:
    """Judges new recordings of one machine; `thrum.open_monitor` opens one.

    Nothing in it knows the time or a network: it answers what it is asked.

    Parameters
    ----------
    key
        The machine and machine ID.
    system
        What scores.
    baseline
        The normal sound that it knows.
    history
        The baseline's versions.
    takings
        How the recordings that were learnt were read.
    alarms
        When an alarm is raised.
    """

    def __init__(
        self,
        key: MachineKey,
        system: System,
        baseline: Baseline,
        *,
        history: History,
        takings: Mapping[str, Taking] | None = None,
        alarms: AlarmSettings | None = None,
    ) -> None:
        self.key = key
        self.system = system
        self.baseline = baseline
        self.history = history
        self.takings = dict(takings or {})
        self.alarms = alarms or AlarmSettings()

    @property
    def name(self) -> str:
        """``machine/machine_id``."""
        return "/".join(self.key)

    @property
    def promises(self) -> dict[str, Sentence]:
        """What the alarm settings promise in each operating state, in words."""
        return {
            state: promise(self.alarms, len(scores))
            for state, scores in self.baseline.calibration().items()
        }

    def stream(self) -> Stream:
        """Return a stream that begins now: it goes on from one `judge` to the next."""
        return Stream(self.baseline.calibration(), self.alarms)

    def judge(
        self,
        sound: Sound,
        *,
        sample_rate: int | None = None,
        stream: Stream | None = None,
        cutting: Cutting | None = None,
    ) -> Judgements:
        """Judge recordings in the order in which they are given, as one stream.

        Parameters
        ----------
        sound
            A file, a folder or several; a clip or several; or samples (S,) in [-1, 1]. Files are read as
            those were that the run learnt, long ones cut into clips like theirs. Clips are taken as they are.
        sample_rate
            Of samples.
        stream
            Where the stream goes on; None begins a new one.
        cutting
            How long recordings are cut; None cuts them as those learnt were.

        Raises
        ------
        DataError
            Where there is nothing to judge.
        """
        if isinstance(sound, np.ndarray):
            with TemporaryDirectory(prefix="thrum-") as temporary:
                return self.judge(
                    _written(sound, sample_rate, Path(temporary), self.key), stream=stream
                )
        given = [sound] if isinstance(sound, str | Path | Clip) else list(sound)
        clips = [one for one in given if isinstance(one, Clip)]
        paths = [Path(one) for one in given if not isinstance(one, Clip)]
        refused: tuple[tuple[str, str], ...] = ()
        left_out: tuple[tuple[str, str], ...] = ()
        if paths:
            found = files.find(paths, self.key, takings=self.takings, cutting=cutting)
            clips += found.clips
            refused = tuple((str(path), reason) for path, reason in found.refused)
            left_out = tuple((str(path), reason) for path, reason in found.left_out)
        own = [replace(clip, machine=self.key[0], machine_id=self.key[1]) for clip in clips]
        long_enough, heard = [], []
        for clip, each in zip(own, hear(own), strict=True):
            if each.seconds is not None and each.seconds < SHORTEST_SECONDS:
                reason = f"{clip.name} is {each.seconds:.3f} s long, less than {SHORTEST_SECONDS} s"
                refused = (*refused, (str(clip.path), f"{reason}: record a whole clip"))
            else:
                long_enough.append(clip)
                heard.append(each)
        judged = self._judged(long_enough, heard, stream or self.stream())
        return Judgements(tuple(judged), refused, left_out)

    def explain(self, sound: str | Path | Clip, *, at_seconds: float | None = None) -> Explanation:
        """Say what makes a clip strange: where in time and frequency, beside which normal clip, in words.

        Of a long recording, the clip `at_seconds`; None takes the strangest.
        """
        from thrum.monitoring.explanation import explain

        return explain(self, self._one(sound, at_seconds))

    def recall(self) -> tuple[int, int]:
        """Return how many of the confirmed faults would be called suspicious, and how many there are."""
        faults = self.baseline.faults
        calibration = self.baseline.calibration()
        p = [
            float(self._p(calibration, fault.state, score))
            for fault, score in zip(faults, self.baseline.fault_scores, strict=True)
        ]
        return sum(each <= self.alarms.suspicious for each in p), len(faults)

    def knows(self, clip: Clip) -> bool:
        """Whether a clip is one of the normal ones that it knows, by its content."""
        return self._known(clip) is not None

    def scores(self, clips: Sequence[Clip]) -> NDArray[np.float64]:
        """Return the scores (B,) of clips, as the run would have them."""
        scores = self.system.score(clips)
        return scores.columns[scores.selected]

    def operating_states(self, heard: Sequence[Heard]) -> list[str]:
        """Return the operating state that each clip is in."""
        states = self.baseline.states
        if states is None:
            return [SILENT if each.is_silent else "normal" for each in heard]
        return [states.recognised(each) for each in heard]

    def _judged(
        self, clips: Sequence[Clip], heard: Sequence[Heard], stream: Stream
    ) -> list[Judgement]:
        operating = self.operating_states(heard)
        nearest = self.baseline.states
        calibration = self.baseline.calibration()
        known = [self._known(clip) for clip in clips]
        new = [
            row
            for row, (state, place) in enumerate(zip(operating, known, strict=True))
            if state != SILENT and place is None
        ]
        scores: dict[int, float] = {}
        if new:
            scores = dict(zip(new, self.scores([clips[row] for row in new]).tolist(), strict=True))
        judged = []
        for row, clip in enumerate(clips):
            notes = self._notes(clip, heard[row])
            place = known[row]
            if operating[row] == SILENT:
                level = heard[row].level_db
                notes.append(Sentence("no_sound", level=level, least=SILENT_DB))
                judged.append(Judgement(clip, None, None, SILENT, SILENT, notes=tuple(notes)))
                continue
            among = nearest.nearest(heard[row]) if nearest else next(iter(calibration))
            if place is not None:
                state, own = self.baseline.clips[place].state, float(self.baseline.left_out[place])
                p = self._p_of_known(calibration[state], own, self.baseline.clips[place].calibrates)
                notes.append(Sentence("known_clip"))
                word: State = "suspicious" if p <= self.alarms.suspicious else "well"
                judged.append(Judgement(clip, own, p, word, state, notes=tuple(notes)))
                continue
            score, state = scores[row], operating[row]
            p = self._p(calibration, among, score)
            if state == OFF:
                judged.append(Judgement(clip, score, p, OFF, OFF, notes=tuple(notes)))
                continue
            verdict = stream.hear(score, state=among, known=state != UNKNOWN)
            word = "suspicious" if p <= self.alarms.suspicious else "well"
            if state == UNKNOWN:
                word = UNKNOWN
                notes.append(Sentence("unlike"))
            elif verdict.alarm:
                word = "alarm"
            judged.append(
                Judgement(
                    *(clip, score, p, word, state, verdict.since, verdict.drift),
                    tuple(notes),
                    among,
                )
            )
        return judged

    def _p(self, calibration: Mapping[str, NDArray[np.float64]], state: str, score: float) -> float:
        known = calibration.get(state, np.zeros(0))
        find = tail_p_values if self.alarms.tail else p_values
        return float(find(known, [score])[0])

    @staticmethod
    def _p_of_known(known: NDArray[np.float64], score: float, calibrates: bool) -> float:
        """Return the p-value of a clip that is itself among those it is ranked among."""
        if not calibrates or len(known) == 0:
            return float(p_values(known, [score])[0])
        return float((known >= score).sum() / len(known))

    def _known(self, clip: Clip) -> int | None:
        return self.baseline.place(content_of(clip)) if self.baseline.clips else None

    def _notes(self, clip: Clip, heard: Heard) -> list[Sentence]:
        notes = []
        named, own = _named(clip.path), self.key[1].casefold()
        if clip.row is None and named and own not in named and _ID.fullmatch(own):
            notes.append(Sentence("other_name", named=", ".join(sorted(named)), own=self.name))
        taking = self.takings.get(self.name)
        if taking and heard.seconds is not None and heard.seconds < SHORT * taking.seconds:
            notes.append(Sentence("short", seconds=heard.seconds, learnt=taking.seconds))
        return notes

    def _one(self, sound: str | Path | Clip, at_seconds: float | None) -> Clip:
        if isinstance(sound, Clip):
            return replace(sound, machine=self.key[0], machine_id=self.key[1])
        found = files.find([Path(sound)], self.key, takings=self.takings)
        if found.refused:
            raise AudioError(found.refused[0][1])
        if len(found.clips) == 1:
            return found.clips[0]
        if at_seconds is None:
            return found.clips[int(self.scores(found.clips).argmax())]
        starts = [clip.stretch[0] if clip.stretch else 0.0 for clip in found.clips]
        return found.clips[max(0, int(np.searchsorted(starts, at_seconds, side="right")) - 1)]


def _named(path: Path) -> set[str]:
    """Return the machine IDs that a file's name says, or else the nearest of its folders' names."""
    for part in (path.stem, *(folder.name for folder in list(path.parents)[:FOLDERS])):
        if found := set(_ID.findall(part.casefold())):
            return found
    return set()


def _written(sound: NDArray[Any], sample_rate: int | None, folder: Path, key: MachineKey) -> Clip:
    """Write samples (S,) as a file that every system reads, in all their bits."""
    import soundfile

    if sample_rate is None:
        raise UsageError("samples alone do not say how fast they are: give sample_rate")
    samples = np.asarray(sound)
    if samples.ndim != 1 or samples.size == 0 or samples.dtype.kind != "f":
        raise DataError(
            f"got samples of shape {samples.shape} and type {samples.dtype}, wanted (S,) floats in [-1, 1]"
        )
    path = folder / "samples.wav"
    soundfile.write(path, samples.astype(np.float32), sample_rate, subtype="FLOAT")
    return Clip(path, *key, "test", name="samples")
