"""Any stream that FFmpeg opens: a camera's sound over RTSP, internet radio, a file that is played (extra
``media``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from thrum.errors import StorageError, UsageError
from thrum.sentences import Sentence
from thrum.service.config import InputSettings
from thrum.service.inputs.base import Input
from thrum.service.inputs.cutting import windows_of
from thrum.service.intake import Intake

OPEN_SECONDS = 10.0
READ_SECONDS = 15.0


class Stream(Input):
    """Plays a stream; where it ends or breaks, it is opened again. A file is played once."""

    def __init__(self, settings: InputSettings, intake: Intake) -> None:
        super().__init__(settings, intake)
        assert settings.address is not None
        self.address = settings.address
        self._played = False

    def listen(self) -> None:
        """Play the stream to its end.

        Raises
        ------
        StorageError
            Where it cannot be opened, has no sound, or ends.
        """
        if self._played:
            self.ended.wait()
            return
        av = _av()
        with opened(self.address) as container:
            self._play(av, container)
        if self.ended.is_set():
            return
        self._played = Path(self.address).is_file()
        raise StorageError(Sentence("ended", address=self.address))

    def _play(self, av: Any, container: Any) -> None:
        stream = container.streams.audio[0]
        rate = int(stream.rate)
        cut = windows_of(self.settings, self.intake, rate)
        resampler = av.AudioResampler(format="fltp", rate=rate)
        channel = self.settings.channel
        for frame in container.decode(stream):
            if self.ended.is_set():
                return
            for each in resampler.resample(frame):
                samples = each.to_ndarray()  # (C, S)
                if channel is not None and channel >= len(samples):
                    raise StorageError(
                        Sentence(
                            "few_channels",
                            address=self.address,
                            channels=len(samples),
                            channel=channel,
                        )
                    )
                mono = samples.mean(axis=0) if channel is None else samples[channel]
                for started, clip in cut.push(np.asarray(mono, np.float32)):
                    self.intake.window(self.settings, clip, rate, started)
                    self.heard()


@contextmanager
def opened(address: str) -> Iterator[Any]:
    """Yield a stream that has sound.

    Raises
    ------
    StorageError
        Where it cannot be opened, or has none.
    """
    av = _av()
    try:
        with av.open(address, timeout=(OPEN_SECONDS, READ_SECONDS)) as container:
            if not container.streams.audio:
                raise StorageError(Sentence("mute", address=address))
            yield container
    except av.FFmpegError as error:
        raise StorageError(Sentence("not_played", address=address, reason=str(error))) from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UsageError(
            Sentence(
                "not_installed",
                kind="stream",
                what="PyAV",
                command="pip install 'thrum[media]'",
            )
        ) from error
    return av
