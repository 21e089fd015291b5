"""How continuous sound of a machine is cut: as the input says, else as the clips that were learnt."""

from __future__ import annotations

from thrum.errors import ConfigError
from thrum.sentences import Sentence
from thrum.service.config import InputSettings
from thrum.service.intake import Intake
from thrum.service.window import Windows


def windows_of(settings: InputSettings, intake: Intake, rate: int) -> Windows:
    """Return what cuts a stream of so many samples per second that begins now."""
    taking = intake.takings.get(settings.machine)
    seconds = settings.clip_seconds or (taking.seconds if taking else None)
    if seconds is None:
        raise ConfigError(Sentence("no_clip_seconds", name=settings.name))
    hop = settings.hop_seconds or (taking.hop_seconds if taking else None) or seconds
    return Windows(rate, seconds, hop, started_at=intake.now())
