"""What a file's own frame says of the sound in it, and what of that is there.

libsndfile trusts or mends lengths without a word: a file cut from 10 s to 1 s is then one of 1 s. Here the
lengths are read from the bytes themselves. Sound that is missing is an error; a length that was never
written, as where a recorder lost power, is found from the bytes, put right in what libsndfile is shown,
and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from thrum.errors import AudioError
from thrum.sentences import Sentence

SUFFIXES_OF = {
    "wav": (".wav", ".wave", ".bwf"),
    "rf64": (".wav", ".wave", ".bwf", ".rf64"),
    "w64": (".w64",),
    "aiff": (".aif", ".aiff", ".aifc"),
    "caf": (".caf",),
    "au": (".au", ".snd"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga", ".opus"),
    "mp3": (".mp3",),
}
"""How files of each kind that libsndfile reads are called."""


@dataclass(frozen=True)
class Examined:
    """What was found.

    Parameters
    ----------
    kind
        A key of `SUFFIXES_OF`; empty for what is none of these.
    samples
        How many samples of each channel are there; None where only reading tells.
    at_least
        How many there are at least, where the kind leaves some open (MP3's ends).
    start, end
        The bytes to show to libsndfile; None for those of the whole file.
    patches
        What to show instead of the bytes at some places.
    head
        What to show before them.
    notes
        What a user must know: ``its header …``.
    """

    kind: str
    samples: int | None = None
    at_least: int = 0
    start: int = 0
    end: int | None = None
    patches: Mapping[int, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    head: bytes = b""

    @property
    def shown_as_is(self) -> bool:
        """Whether libsndfile may open the file itself."""
        return not self.patches and self.start == 0 and self.end is None


class DamagedError(AudioError):
    """A file whose frame is damaged; the message goes on from the file's name."""


UNFINISHED = "its header was never finished, as where a recorder loses power; read to the end"
"""The note on a file that announces no sound and has some."""


def no_sound_found() -> DamagedError:
    """Return the error of a file that begins well and says nowhere where its sound is."""
    return DamagedError(Sentence("no_place"))


def several() -> DamagedError:
    """Return the error of a file that is several, one after the other."""
    return DamagedError(Sentence("several"))


def size_of(file: BinaryIO) -> int:
    """Return how many bytes an open file has; its place stays."""
    place = file.tell()
    size = file.seek(0, 2)
    file.seek(place)
    return size


def cut_short(announced: int, there: int, *, samples: bool = False) -> DamagedError:
    """Return the error of a file that ends before the sound that it announces, in bytes or samples."""
    return DamagedError(
        Sentence("cut_samples" if samples else "cut_bytes", missing=announced - there)
    )
