"""Which examination a file is given, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from thrum.audio import chunks, flac, mpeg, ogg
from thrum.audio.containers import DamagedError, Examined
from thrum.errors import AudioError
from thrum.sentences import Sentence, said

_READERS = {
    b"RIFF": chunks.wav,
    b"RIFX": chunks.wav,
    b"RF64": chunks.wav,
    b"BW64": chunks.wav,
    b"riff": chunks.w64,
    b"FORM": chunks.aiff,
    b"caff": chunks.caf,
    b".snd": chunks.au,
    b"fLaC": flac.flac,
    b"OggS": ogg.ogg,
}


def examine(path: Path) -> Examined:
    """Return what the file's frame says of its sound.

    Raises
    ------
    AudioError
        Where sound that it announces is missing, or it contradicts itself.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            return _READERS.get(magic, mpeg.mp3)(file)
    except DamagedError as error:
        raise AudioError(Sentence("of_recording", path=str(path), said=said(error))) from error
    except OSError as error:
        raise AudioError(
            Sentence("unopened", path=str(path), reason=error.strerror or str(error))
        ) from error
