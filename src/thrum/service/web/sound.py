"""Audio and pictures of clips for the dashboard; a clip is known by its number, never by a path."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from fastapi import APIRouter, HTTPException, Response
from starlette.concurrency import run_in_threadpool

from thrum import audio
from thrum.errors import ThrumError
from thrum.evaluation import listening
from thrum.evaluation.listening import Recording
from thrum.monitoring.heard import RATE
from thrum.service.running import Service
from thrum.service.store import views
from thrum.service.web import explaining


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/sound/{number}.wav")
    async def sound(number: int) -> Response:
        content = await run_in_threadpool(_wav, _file(service, number)[0])
        return Response(content, media_type="audio/wav", headers=_CACHED)

    @routes.get("/sound/{number}.png")
    async def picture(number: int) -> Response:
        content = await run_in_threadpool(_png, _file(service, number)[0])
        return Response(content, media_type="image/png", headers=_CACHED)

    @routes.get("/sound/{number}/normal.wav")
    async def normal(number: int) -> Response:
        """Return the normal clip that the explanation of a clip names."""
        told = explaining.known(service, number)
        if told is None:
            raise HTTPException(404, "this clip has not been explained")
        near = Path(told["nearest_normal_clip"]["path"])
        if not near.is_file():
            raise HTTPException(404, "the audio of that clip is no longer there")
        return Response(await run_in_threadpool(_wav, near), media_type="audio/wav")

    return routes


_CACHED = {"cache-control": "private, max-age=3600"}


def _file(service: Service, number: int) -> tuple[Path, str]:
    if not 0 < number < 2**62:
        raise HTTPException(404, "no such clip")
    with service.database.reading() as connection:
        row = views.clip(connection, number)
    if row is None or row["path"] is None or not (service.audio / row["path"]).is_file():
        raise HTTPException(404, "the audio of this clip is no longer kept")
    return service.audio / row["path"], row["machine"]


def _png(path: Path) -> bytes:
    """Return the spectrogram of a recording."""
    try:
        samples, rate = audio.read(path)
    except ThrumError as error:
        raise HTTPException(404, str(error)) from error
    shown = listening.picture_of(
        Recording(audio.resample(samples, rate, RATE), RATE), name=path.name
    )
    return base64.b64decode(listening.images([shown])[0].partition(",")[2])


def _wav(path: Path) -> bytes:
    """Return a recording as wav that every browser plays, brought to a level that can be heard."""
    import soundfile

    try:
        samples, rate = audio.read(path)
    except ThrumError as error:
        raise HTTPException(404, str(error)) from error
    samples = audio.resample(samples, rate, RATE)
    samples = samples - samples.mean()
    peak = float(np.abs(samples).max(initial=1e-9))
    held = io.BytesIO()
    soundfile.write(held, samples * (0.7 / max(peak, 1e-4)), RATE, format="WAV", subtype="PCM_16")
    return held.getvalue()
