"""Who is told of judgements: an HTTP address, a broker; each has an outbox of its own."""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from thrum_edge.errors import EdgeError
from thrum_edge.mqtt import Address, Broker, state_message
from thrum_edge.outbox import Message, Outbox
from thrum_edge.posting import post, require_address


class Telling:
    """Tells whom the command names.

    Parameters
    ----------
    asked
        The command's words.
    sample_rate
        Of clips.

    Raises
    ------
    EdgeError
        Where an address is none, or a package is missing.
    """

    def __init__(
        self, asked: argparse.Namespace, sample_rate: int, *, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._rate = sample_rate
        self._sound_topic: str | None = asked.send_sound
        self._site: str = asked.site
        self._state, self._since = "", 0.0
        self._boxes: dict[str, Outbox] = {}
        self._address: Address | None = None
        self._broker: Broker | None = None
        spool: Path | None = asked.spool
        if asked.post:
            url = require_address(asked.post)
            self._boxes["http"] = Outbox(
                lambda message: post(url, message.payload), spool / "http" if spool else None
            )
        if asked.mqtt:
            self._address = Address.of(asked.mqtt)
            if not self._site or set("#+$/") & set(self._site):
                raise EdgeError(
                    f"--mqtt wants a site, one word that topics may hold, got {self._site!r}: --site hall-b"
                )
            self._broker = Broker(self._address, password_file=asked.mqtt_password_file)
            self._boxes["mqtt"] = Outbox(self._broker.deliver, spool / "mqtt" if spool else None)
        elif self._sound_topic:
            raise EdgeError("--send-sound sends to a broker: say which one, --mqtt mqtt://host")

    def tell(
        self, judgement: Mapping[str, Any], samples: NDArray[np.float32]
    ) -> Iterator[EdgeError]:
        """Tell a judgement, and the clip where that is wanted; yields what was not taken."""
        if judgement["state"] != self._state:
            self._state, self._since = judgement["state"], self._now()
        for name, box in self._boxes.items():
            for message in self._messages(name, judgement, samples):
                try:
                    box.send(message)
                except EdgeError as error:
                    yield error

    def end(self) -> Iterator[EdgeError]:
        """Try once more what waits, and take leave; yields what still waits."""
        for box in self._boxes.values():
            try:
                box.flush()
            except EdgeError as error:
                yield EdgeError(f"{error}; what waits ({box.waiting}) is sent at the next start")
        if self._broker is not None:
            self._broker.close()

    def _messages(
        self, name: str, judgement: Mapping[str, Any], samples: NDArray[np.float32]
    ) -> Iterator[Message]:
        if name == "http":
            yield Message(json.dumps(judgement).encode())
            return
        assert self._address is not None
        yield state_message(
            self._address, self._site, judgement, since=self._since, now=self._now()
        )
        if self._sound_topic:
            yield Message(_flac(samples, self._rate), self._sound_topic)


def _flac(samples: NDArray[np.float32], rate: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()
