"""Sound that does not end: streams as PyAV plays them, microphones as a stand-in for sounddevice has them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring_sound import RATE, SECONDS, well
from thrum.errors import StorageError, UsageError
from thrum.service import checking
from thrum.service.config import InputSettings, Settings
from thrum.service.running import Service
from thrum.service.store import views
from watched import MACHINE, MakeService, judge_all, view


def listening(make_service: MakeService, settings: Settings, **more: object) -> Service:
    source = InputSettings("live", MACHINE, every="60s", **more)  # type: ignore[arg-type]
    return make_service(inputs=(*settings.inputs, source))


def played(path: Path, sound: NDArray[np.float32], codec: str) -> Path:
    """Write sound as a film without pictures."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        whole = np.round(32767 * sound).astype(np.int16)
        for first in range(0, len(whole), 1024):
            block = av.AudioFrame.from_ndarray(whole[None, first : first + 1024], "s16", "mono")
            block.sample_rate = RATE
            block.pts = first
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mka", "flac"), ("a.mov", "aac")])
def test_a_stream_is_cut_into_clips_and_judged(
    make_service: MakeService, settings: Settings, tmp_path: Path, name: str, codec: str
) -> None:
    random = np.random.default_rng(0)
    path = played(tmp_path / name, np.concatenate([well(random) for _ in range(4)]), codec)
    service = listening(make_service, settings, kind="stream", address=str(path))
    with pytest.raises(StorageError, match="has ended"):
        service.inputs["live"].listen()
    judge_all(service)
    with service.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM clips ORDER BY id").mappings().all()
    assert [row["seconds"] for row in rows] == [SECONDS] * len(rows)
    assert len(rows) in (3, 4)  # a codec may keep back some samples of the last
    starts = np.array([row["started_at"] for row in rows])
    np.testing.assert_allclose(np.diff(starts), SECONDS, atol=1e-6)
    assert view(service).judged == len(rows)
    if codec == "flac":  # nothing is lost: what was judged is what was played
        assert view(service).state == "well"
    again = threading.Thread(target=service.inputs["live"].listen)
    again.start()  # a file is played once: it waits for the end
    again.join(0.2)
    assert again.is_alive()
    service.inputs["live"].end()
    again.join(5)
    assert not again.is_alive()


def test_what_is_no_stream_is_said(
    make_service: MakeService, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    (tmp_path / "text.mp4").write_text("no film at all")
    for address in (
        str(tmp_path / "text.mp4"),
        str(tmp_path / "nothing.mp4"),
        "rtsp://127.0.0.1:1/",
    ):
        service = listening(make_service, settings, kind="stream", address=address)
        with pytest.raises(StorageError, match="cannot be played"):
            service.inputs["live"].listen()
        found = {each.what: each for each in checking.check(service.settings)}
        assert not found["input live"].well
        assert address in found["input live"].detail
        service.stop()


class Device(ModuleType):
    """As much of sounddevice as is used: a device with two channels that plays what it is told."""

    class PortAudioError(Exception):
        pass

    def __init__(self, blocks: list[NDArray[np.float32]], *, connected: bool = True) -> None:
        super().__init__("sounddevice")
        self.blocks, self.connected = blocks, connected
        self.opened: dict[str, Any] = {}

    def query_devices(self, device: str | None, _kind: str) -> dict[str, Any]:
        if not self.connected:
            raise ValueError(f"No input device matching {device!r}")
        return {"name": "USB microphone", "default_samplerate": float(RATE)}

    def InputStream(self, *, callback: Callable[..., None], **opened: Any) -> Any:  # noqa: N802
        self.opened = opened
        device = self

        class Opened:
            def __enter__(self) -> None:
                def play() -> None:
                    for block in device.blocks:
                        callback(block[:, : opened["channels"]], len(block), None, None)

                self.thread = threading.Thread(target=play)
                self.thread.start()

            def __exit__(self, *_: object) -> None:
                self.thread.join()

        return Opened()


@pytest.mark.parametrize("channel", [None, 1])
def test_a_microphone_is_cut_into_clips_and_judged(
    make_service: MakeService,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    channel: int | None,
) -> None:
    random = np.random.default_rng(0)
    sound = np.concatenate([well(random) for _ in range(3)])
    other = np.zeros_like(sound) if channel else sound
    both = np.stack([other, sound], axis=1)
    device = Device([both[first : first + 1600] for first in range(0, len(both), 1600)])
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    service = listening(make_service, settings, kind="microphone", device="USB", channel=channel)
    monkeypatch.setattr("thrum.service.inputs.microphone.SILENT_SECONDS", 1.0)
    microphone = service.inputs["live"]
    thread = threading.Thread(target=microphone.run)
    thread.start()
    end = time.monotonic() + 20
    while True:
        with service.database.reading() as connection:
            if views.totals(connection).get("waiting") == 3:
                break
        assert time.monotonic() < end, microphone.lost
        time.sleep(0.02)
    microphone.end()
    thread.join(10)
    assert not thread.is_alive()
    assert device.opened["samplerate"] == RATE
    assert device.opened["device"] == "USB"
    judge_all(service)
    assert view(service).judged == 3
    assert view(service).state == "well"


def test_a_microphone_that_is_gone_is_said(
    make_service: MakeService, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = listening(make_service, settings, kind="microphone", device="USB")
    monkeypatch.setitem(sys.modules, "sounddevice", Device([], connected=False))
    with pytest.raises(StorageError, match="cannot be opened: No input device"):
        service.inputs["live"].listen()
    monkeypatch.setitem(sys.modules, "sounddevice", Device([]))
    monkeypatch.setattr("thrum.service.inputs.microphone.SILENT_SECONDS", 0.05)
    with pytest.raises(StorageError, match="brings nothing: is it connected"):
        service.inputs["live"].listen()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match="thrum\\[microphone\\]"):
        service.inputs["live"].listen()
