"""Clips made for one attack: machines that go on and off, machines in one hall, voices beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from thrum.datasets.synthetic import Condition, SyntheticConfig, draw_machine, simulate_scene
from thrum.embedders.base import Embedder
from thrum.embedders.logmel import LogMel
from thrum.privacy.audit.material import CELL_SECONDS, Material, Sample
from thrum.privacy.audit.simulated import embedded
from thrum.privacy.audit.voices import Voice
from thrum.types import Progress

Audio = NDArray[np.float32]
RATE = Embedder.sample_rate
RHYTHM_CLIPS, HALL_CLIPS, SPEECH_CLIPS = 3, 4, 8
STRETCH_SECONDS = (0.6, 2.0)
"""How long a machine stays on, or off."""
VOICE_DB = (0.0, 12.0)
"""The power of a voice, while it speaks, over that of the machine."""
HALL_SECONDS = 0.7
HALL_NOISE_DB = -8.0


def asides(
    config: SyntheticConfig,
    embedder: Embedder,
    voices: Sequence[Voice],
    *,
    progress: Progress | None = None,
) -> dict[str, Material]:
    """Return, by attack, clips of the machines of a simulation; none with voices where there are none."""
    logmel = LogMel()
    found: dict[str, list[Sample]] = {"rhythm": [], "halls": [], "speech": []}
    machines = [(kind, index) for kind in config.kinds for index in range(config.individuals)]
    for number, (kind, index) in enumerate(machines):
        random = np.random.default_rng([config.seed, 7, number])
        key = (kind, f"section_{index:02d}")
        attacked = index >= config.individuals - round(config.individuals / 3)
        for _ in range(RHYTHM_CLIPS):
            sound, active = _going(config, kind, index, random)
            found["rhythm"].append(_sample(key, sound, embedder, logmel, active=active))
        # A hall has machines of two kinds, so that they are told by the hall and by nothing else.
        hall = _hall_of(config, kind, index)
        for _ in range(HALL_CLIPS):
            sound = _in_hall(_scene(config, kind, index, random).audio, config.seed, hall, random)
            found["halls"].append(_sample(key, sound, embedder, logmel, truth={"hall": str(hall)}))
        own = [voice for voice in voices if voice.attacked is attacked]
        for place in range(SPEECH_CLIPS if own else 0):
            sound, voice = _scene(config, kind, index, random).audio, None
            if place % 2:
                voice = own[int(random.integers(len(own)))]
                sound = _spoken(sound, voice.audio, random)
            truth = {"word": "", "woman": False}
            if voice is not None:
                truth = {"word": voice.word, "woman": voice.woman}
            found["speech"].append(_sample(key, sound, embedder, logmel, truth=truth))
        if progress is not None:
            progress("simulating rhythm, halls and voices", number + 1, len(machines))
    return {name: Material(samples) for name, samples in found.items() if samples}


def spoken_beside(
    material: Material, embedder: Embedder, voices: Sequence[Voice], *, seed: int
) -> dict[str, Material]:
    """Return clips of recorded machines with voices mixed in; none where there is no sound, or no voice."""
    if material.sounds is None or not voices:
        return {}
    logmel, random = LogMel(), np.random.default_rng([seed, 13])
    attacked = set(material.divided()[1].keys)
    samples = []
    for key in material.keys:
        rows = [row for row, sample in enumerate(material.samples) if sample.key == key]
        own = [voice for voice in voices if voice.attacked is (key in attacked)]
        for place, row in enumerate(rows[:SPEECH_CLIPS]):
            sound, truth = material.sounds(row), {"word": "", "woman": False}
            if place % 2:
                voice = own[int(random.integers(len(own)))]
                sound = _spoken(sound, voice.audio, random)
                truth = {"word": voice.word, "woman": voice.woman}
            samples.append(_sample(key, sound, embedder, logmel, truth=truth))
    return {"speech": Material(samples)}


def _scene(config: SyntheticConfig, kind: str, index: int, random: np.random.Generator) -> Any:
    condition = Condition(int(random.choice([60, 70, 80, 90])), int(random.choice([40, 60, 80])))
    return simulate_scene(
        draw_machine(kind, index, seed=config.seed),
        condition,
        seed=int(random.integers(2**62)),
        duration_seconds=config.duration_seconds,
        sample_rate=RATE,
        snr_db=config.snr_db,
    )


def _going(
    config: SyntheticConfig, kind: str, index: int, random: np.random.Generator
) -> tuple[Audio, NDArray[np.bool_]]:
    """Return a machine that goes on and off, and for each cell whether it is on."""
    scene = _scene(config, kind, index, random)
    count = round(config.duration_seconds / CELL_SECONDS)
    active = np.zeros(count, bool)
    place, on = 0, bool(random.random() < 0.5)
    while place < count:
        length = max(1, round(float(random.uniform(*STRETCH_SECONDS)) / CELL_SECONDS))
        active[place : place + length] = on
        place, on = place + length, not on
    gate = np.repeat(active, round(CELL_SECONDS * RATE))
    gate = np.pad(gate, (0, max(len(scene.machine) - len(gate), 0)), mode="edge")
    smooth = np.convolve(gate[: len(scene.machine)].astype(np.float64), np.ones(320) / 320, "same")
    return (scene.machine * smooth + scene.noise).astype(np.float32), active


def _hall_of(config: SyntheticConfig, kind: str, index: int) -> int:
    place = list(config.kinds).index(kind)
    pair = place // 2 if place < 2 * (len(config.kinds) // 2) else len(config.kinds)
    return int(pair * config.individuals + index)


def _in_hall(audio: Audio, seed: int, hall: int, random: np.random.Generator) -> Audio:
    """Return a recording as a hall sounds: its walls, and what hums in it all the time."""
    own = np.random.default_rng([seed, 11, hall])
    time = np.arange(round(HALL_SECONDS * RATE)) / RATE
    colour = fftconvolve(own.standard_normal(len(time)), own.standard_normal(16), "same")
    walls = colour * 10 ** (-3 * time / HALL_SECONDS)
    walls *= 1 / np.sqrt(np.square(walls).sum())
    walls[0] += 1.0
    heard = fftconvolve(audio, walls)[: len(audio)]
    hum = fftconvolve(random.standard_normal(len(audio)), own.standard_normal(32), "same")
    hum *= np.sqrt(np.mean(heard**2) / np.mean(hum**2) * 10 ** (HALL_NOISE_DB / 10))
    return np.asarray((heard + hum) / 3, np.float32)


def _spoken(audio: Audio, voice: Audio, random: np.random.Generator) -> Audio:
    """Return a recording in which somebody speaks, somewhere in it."""
    voice = voice[: len(audio)]
    level = 10 ** (float(random.uniform(*VOICE_DB)) / 20) * np.sqrt(np.mean(audio**2))
    start = int(random.integers(len(audio) - len(voice) + 1))
    mixed = audio.copy()
    mixed[start : start + len(voice)] += voice * np.float32(
        level / np.sqrt(np.mean(voice**2) + 1e-12)
    )
    return mixed


def _sample(
    key: tuple[str, str],
    audio: Audio,
    embedder: Embedder,
    logmel: LogMel,
    *,
    active: NDArray[np.bool_] | None = None,
    truth: Mapping[str, Any] | None = None,
) -> Sample:
    frames, times, levels = embedded(audio, embedder, logmel)
    if active is not None:
        active = active[: len(levels)]
        levels = levels[: len(active)]
    return Sample(key, "test", None, frames, times, levels, truth or {}, active)
