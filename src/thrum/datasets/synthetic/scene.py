"""One recording: a machine at work in a hall, with its noise, in front of a microphone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from thrum.datasets.synthetic.faults import FAULTS
from thrum.datasets.synthetic.machine import Machine
from thrum.datasets.synthetic.noise import factory_noise
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import (
    REFERENCE_RATE,
    Signal,
    frequencies,
    hump,
    transform_size,
)
from thrum.errors import ConfigError
from thrum.types import Domain

LEVELS_DB = (-38.0, -26.0)
"""Of the recordings, against full scale."""
ACTIVE_FRAME_SECONDS = 0.05
ACTIVE_RANGE_DB = 20.0
REVERBERANCE_DB = {"source": (-10.0, -5.0), "target": (-5.0, 0.0)}
"""Energy of the reverberation over that of the direct sound; in the target domain one stands farther off."""
TILT_DB_PER_OCTAVE = {"source": (-0.8, 0.8), "target": (-2.0, -0.5)}
"""Of the microphone; that of the target domain is a duller one."""


@dataclass(frozen=True)
class Condition:
    """How a machine is run, and where it is recorded.

    Parameters
    ----------
    speed_percent, load_percent
        Of the rated speed and load.
    domain
        Decides the noise of the hall and the place of the microphone.
    """

    speed_percent: int
    load_percent: int
    domain: Domain = "source"


@dataclass(frozen=True)
class Scene:
    """A recording before it is mixed.

    Parameters
    ----------
    machine, noise
        What the microphone hears of either, (S,) float32; their sum is the recording.
    sources
        The names of the noise sources.
    well
        (S,) the same performance without the fault, at the same gain: what differs is the fault. None where
        it was not asked for, or there is none.
    """

    machine: Signal
    noise: Signal
    sources: tuple[str, ...]
    well: Signal | None = None

    @property
    def audio(self) -> Signal:
        """The recording (S,)."""
        return self.machine + self.noise


def simulate(
    machine: Machine,
    condition: Condition,
    *,
    fault: str | None = None,
    severity: float = 0.0,
    seed: int,
    duration_seconds: float = 10.0,
    sample_rate: int = 16000,
    snr_db: float = 6.0,
) -> Signal:
    """Return a recording of a machine, (S,) float32 in [-1, 1]; see `simulate_scene`."""
    return simulate_scene(
        machine,
        condition,
        fault=fault,
        severity=severity,
        seed=seed,
        duration_seconds=duration_seconds,
        sample_rate=sample_rate,
        snr_db=snr_db,
    ).audio


def simulate_scene(
    machine: Machine,
    condition: Condition,
    *,
    fault: str | None = None,
    severity: float = 0.0,
    seed: int,
    duration_seconds: float = 10.0,
    sample_rate: int = 16000,
    snr_db: float = 6.0,
    with_well: bool = False,
) -> Scene:
    """Simulate one recording of a machine and return its parts.

    Equal arguments give equal sound. Two calls that differ in the fault alone give one performance of the
    machine, well and ill, in the same noise.

    Parameters
    ----------
    machine
        From `draw_machine`.
    condition
        Speed, load and domain.
    fault, severity
        What is wrong (one of `FAULTS` of the machine's kind; None where nothing is), and how badly: from 0,
        which cannot be heard, to 1, due for repair.
    seed
        Decides everything random.
    duration_seconds, sample_rate
        Of the recording.
    snr_db
        Power of the machine while it is active over the power of the noise.
    with_well
        Also say what the machine would have sounded like without its fault.

    Raises
    ------
    ConfigError
        Where the fault does not befall this kind, or a value is out of range.
    """
    _check(machine, condition, fault, severity)
    run = Run(
        samples=round(duration_seconds * sample_rate),
        sample_rate=sample_rate,
        speed=condition.speed_percent / 100,
        load=condition.load_percent / 100,
        amounts={fault: severity * FAULTS[machine.kind][fault]} if fault and severity else {},
        seed=seed,
    )
    sound, noise, sources = _heard(machine, run, condition.domain)
    ratio = active_power(sound, sample_rate) / float(np.mean(noise * noise))
    noise = noise * np.float32(np.sqrt(ratio / 10 ** (snr_db / 10)))
    gain = _recording_gain(sound + noise, run.random("level"))
    well = None
    if run.amounts and with_well:
        well = gain * _heard(machine, replace(run, amounts={}), condition.domain)[0]
    return Scene(sound * gain, noise * gain, sources, well)


def active_power(sound: Signal, sample_rate: int) -> float:
    """Return the mean power of a sound while it is active.

    Active are the frames of 50 ms that are at most 20 dB below the loudest: a valve's impacts are, the
    silence between them is not.
    """
    size = min(round(ACTIVE_FRAME_SECONDS * sample_rate), len(sound))
    count = len(sound) // size
    frames = sound[: count * size].reshape(count, size)
    powers = np.mean(frames * frames, axis=1)
    return float(np.mean(powers[powers >= powers.max() / 10 ** (ACTIVE_RANGE_DB / 10)]))


def _heard(machine: Machine, run: Run, domain: Domain) -> tuple[Signal, Signal, tuple[str, ...]]:
    """Return what the microphone hears of the machine and of the hall (S,), and the noise's sources."""
    air, structure = machine.mechanism.sound(run)
    casing = machine.casing.response(run.sample_rate, looseness=run.amount("looseness"))
    room = _room(run, domain)
    size = transform_size(run.samples + len(casing) + len(room))
    microphone = _microphone(run, domain, frequencies(size, run.sample_rate))
    through_casing = scipy.fft.rfft(casing, n=size) * np.float32(REFERENCE_RATE / run.sample_rate)
    spectrum = scipy.fft.rfft(air, n=size) + scipy.fft.rfft(structure, n=size) * through_casing
    spectrum *= scipy.fft.rfft(room, n=size) * microphone
    noise, sources = factory_noise(run.random("noise"), run.samples, run.sample_rate, domain=domain)
    noise_spectrum = scipy.fft.rfft(noise, n=size) * microphone
    heard = scipy.fft.irfft(spectrum, n=size)[: run.samples]
    return heard, scipy.fft.irfft(noise_spectrum, n=size)[: run.samples], sources


def _room(run: Run, domain: Domain) -> Signal:
    """Return the room's impulse response (N,): the direct sound, then noise that dies away (Moorer, 1979).

    The microphone stands somewhere else for each recording, so each has its own.
    """
    random = run.random("room")
    seconds = random.uniform(0.4, 0.9)  # reverberation time, of a hall full of machines
    level_db = random.uniform(*REVERBERANCE_DB[domain])
    time = np.arange(int(0.5 * seconds * run.sample_rate)) / run.sample_rate
    tail = random.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: int(0.003 * run.sample_rate)] = 0  # the first wall is half a metre away
    tail *= np.sqrt(10 ** (level_db / 10) / np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def _microphone(run: Run, domain: Domain, hz: Signal) -> Signal:
    """Return the microphone's gain (F,): a tilt, and two bumps from what stands around it."""
    random = run.random("microphone")
    gain_db = random.uniform(*TILT_DB_PER_OCTAVE[domain]) * np.log2(hz / 1000)
    for _ in range(2):
        gain_db = gain_db + random.normal(0, 1.5) * hump(hz, 150 * 40 ** random.random(), 0.4)
    return (10 ** (gain_db / 20)).astype(np.float32)


def _recording_gain(mix: Signal, random: np.random.Generator) -> np.float32:
    """Return the gain that brings a recording to the level that its recorder was set to.

    The level is drawn, whatever the machine does: no level, and no threshold on it, tells a fault.
    """
    level = 10 ** (random.uniform(*LEVELS_DB) / 20) / np.sqrt(np.mean(mix * mix))
    return np.float32(min(level, 0.99 / np.max(np.abs(mix))))


def _check(machine: Machine, condition: Condition, fault: str | None, severity: float) -> None:
    faults = FAULTS[machine.kind]
    if fault is not None and fault not in faults:
        known = ", ".join(faults)
        raise ConfigError(f"a {machine.kind} has no fault {fault!r}; wanted one of: {known}")
    if not 0 <= severity <= 1:
        raise ConfigError(f"severity is {severity}, wanted 0 to 1")
    if not (10 <= condition.speed_percent <= 200 and 0 <= condition.load_percent <= 200):
        raise ConfigError(f"got {condition}; wanted a speed of 10 to 200 %, a load of 0 to 200 %")
