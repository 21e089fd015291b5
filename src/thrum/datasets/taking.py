"""How the sound of a machine was taken when it was learnt, so that every later reading does the same."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from thrum import audio, storage
from thrum.datasets.windows import Cutting
from thrum.errors import AudioError, StorageError
from thrum.sentences import Sentence
from thrum.types import Clip, group_by_machine

FILE = "sound.json"
"""In the folder of a run."""
FULL_RATE = 16000
"""Samples per second that every embedder takes: a recording at a lower rate lacks what others have."""
LONGER = 1.5
"""Times as long as any clip learnt: beyond, a recording is cut like those."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taking:
    """How the recordings of one machine ID were read.

    Parameters
    ----------
    channel
        The one channel that was read; None for the mean of all.
    channels, sample_rates
        The different numbers of channels and samples per second of the files.
    seconds
        The middle length of the clips.
    longest_seconds
        That of the longest clip.
    hop_seconds
        From one clip of a long recording to the next; None where they lie end to end.
    """

    channel: int | None
    channels: tuple[int, ...]
    sample_rates: tuple[int, ...]
    seconds: float
    longest_seconds: float
    hop_seconds: float | None = None

    def cutting(self, seconds: float) -> Cutting:
        """Return how a recording is cut that is `seconds` long: into clips such as were learnt."""
        if seconds <= LONGER * self.longest_seconds:
            return Cutting(0)
        hop = self.hop_seconds
        return Cutting(self.seconds, hop if hop and hop <= self.seconds else None)

    def require_alike(self, path: Path) -> None:
        """Hold a recording against those that were learnt.

        Raises
        ------
        AudioError
            Where it lacks the channel, has another number of channels of which one was meant, or a
            rate so low that sound is missing which was learnt.
        """
        found = audio.describe(path)
        usual = " or ".join(map(str, self.channels))
        if self.channel is not None and found.channels not in self.channels:
            raise AudioError(
                Sentence(
                    "other_channels",
                    path=str(path),
                    channels=found.channels,
                    channel=self.channel,
                    usual=usual,
                )
            )
        low = min(self.sample_rates)
        if found.sample_rate < min(low, FULL_RATE):
            raise AudioError(
                Sentence(
                    "low_rate",
                    path=str(path),
                    rate=found.sample_rate,
                    learnt=low,
                    highest=found.sample_rate // 2,
                )
            )
        if found.channels not in self.channels:
            _logger.warning(
                "%s has %d channels, those learnt had %s: all are mixed",
                *(path, found.channels, usual),
            )


def takings_of(clips: Iterable[Clip]) -> dict[str, Taking]:
    """Return how the recordings of each ``machine/machine_id`` are read; of features nothing is said."""
    takings: dict[str, Taking] = {}
    for key, own in group_by_machine(clip for clip in clips if clip.row is None).items():
        found = {clip.path: audio.describe(clip.path) for clip in own}
        lengths = [clip.stretch[1] if clip.stretch else found[clip.path].seconds for clip in own]
        takings["/".join(key)] = Taking(
            own[0].channel,
            tuple(sorted({each.channels for each in found.values()})),
            tuple(sorted({each.sample_rate for each in found.values()})),
            round(median(lengths), 6),
            round(max(lengths), 6),
            _hop_seconds(own),
        )
    return takings


def _hop_seconds(clips: Sequence[Clip]) -> float | None:
    """Return how far apart the clips of a long recording begin; None where end to end."""
    for first, second, third in zip(clips, clips[1:], clips[2:], strict=False):
        if first.stretch and second.stretch and third.stretch and first.path == third.path:
            hop = round(second.stretch[0] - first.stretch[0], 6)
            return hop if 0 < hop < first.stretch[1] else None
    return None


def write_takings(run: Path, takings: dict[str, Taking]) -> None:
    """Write how sound was taken beside a run's model."""
    content = {key: asdict(taking) for key, taking in takings.items()}
    storage.write_json(run / FILE, {"schema": storage.SCHEMA, "machines": content})


def read_takings(run: Path) -> dict[str, Taking]:
    """Return what `write_takings` wrote; nothing for a run of a version that did not.

    Raises
    ------
    StorageError
        Where it is damaged.
    """
    if not (run / FILE).exists():
        _logger.warning(
            "%s does not say how its sound was taken: all channels are mixed, train again to be sure",
            run,
        )
        return {}
    content = storage.read_json(run / FILE)
    try:
        return {
            str(key): Taking(
                None if one["channel"] is None else int(one["channel"]),
                tuple(map(int, one["channels"])),
                tuple(map(int, one["sample_rates"])),
                float(one["seconds"]),
                float(one["longest_seconds"]),
                None if one["hop_seconds"] is None else float(one["hop_seconds"]),
            )
            for key, one in content["machines"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{run / FILE} does not say how sound was taken: {error}") from error
