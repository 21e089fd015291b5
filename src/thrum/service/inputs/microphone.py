"""A microphone of this machine (extra ``microphone``, and the library PortAudio)."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import StorageError, UsageError
from thrum.sentences import Sentence
from thrum.service.inputs.base import Input
from thrum.service.inputs.cutting import windows_of

BLOCK_SECONDS = 0.1
SILENT_SECONDS = 5.0
"""Without a block for so long the device is gone."""


class Microphone(Input):
    """Listens to a device, at its own rate."""

    def listen(self) -> None:
        """Listen until the device is gone.

        Raises
        ------
        StorageError
            Where there is no such device, or it brings nothing.
        """
        sounddevice = sound_device()
        blocks: queue.Queue[NDArray[np.float32]] = queue.Queue()

        def arrived(samples: NDArray[np.float32], *_: Any) -> None:
            blocks.put(samples.copy())

        try:
            found = sounddevice.query_devices(self.settings.device, "input")
            rate = int(found["default_samplerate"])
            channel = self.settings.channel
            with sounddevice.InputStream(
                device=self.settings.device,
                samplerate=rate,
                channels=1 if channel is None else channel + 1,
                blocksize=round(BLOCK_SECONDS * rate),
                dtype="float32",
                callback=arrived,
            ):
                cut = windows_of(self.settings, self.intake, rate)
                while not self.ended.is_set():
                    try:
                        samples = blocks.get(timeout=SILENT_SECONDS)
                    except queue.Empty:
                        raise StorageError(Sentence("nothing_heard")) from None
                    mono = samples.mean(axis=1) if channel is None else samples[:, channel]
                    for started, clip in cut.push(np.asarray(mono, np.float32)):
                        self.intake.window(self.settings, clip, rate, started)
                        self.heard()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise StorageError(Sentence("no_microphone", reason=str(error))) from error


def sound_device() -> Any:
    """Return the module that knows microphones.

    Raises
    ------
    UsageError
        Where it or PortAudio is not installed.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise UsageError(_needs("sounddevice", "pip install 'thrum[microphone]'")) from error
    except OSError as error:
        raise UsageError(_needs("PortAudio", "apt install libportaudio2")) from error
    return sounddevice


def _needs(what: str, command: str) -> Sentence:
    return Sentence("not_installed", kind="microphone", what=what, command=command)
