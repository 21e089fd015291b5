"""The demonstration: five simulated machines, three of which go wrong, ten minutes of their life in two."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

import numpy as np

from thrum import audio, storage
from thrum.datasets.synthetic import Condition, draw_machine, simulate
from thrum.datasets.taking import takings_of, write_takings
from thrum.monitoring.opening import prepare_monitors
from thrum.service.config import InputSettings, MachineSettings, ServiceSettings, Settings
from thrum.service.inputs.simulated import (
    CONDITIONS,
    RATE,
    Playing,
    Simulated,
    SimulatedSettings,
    hash_of,
)
from thrum.service.intake import Intake
from thrum.service.running import Service
from thrum.service.store import people
from thrum.systems import create_system
from thrum.systems.baselines.knn import Config
from thrum.types import Clip, Progress

LEARNT_CLIPS = 60
"""Normal clips of each machine: ten minutes."""
CLIP_SECONDS = 10.0
ACCELERATION = 5.0
FALSE_ALARMS = "1 in 1000 clips"
SEED = 0
FINISHED = "finished.json"
USER = "demo"

PLAYING: dict[str, tuple[str, Playing]] = {
    "fan/id_00": ("Exhaust fan, hall B", Playing("fan", 0)),
    "fan/id_01": (
        "Supply fan, hall B",
        Playing("fan", 1, "imbalance", begins_seconds=60, grown_seconds=240),
    ),
    "pump/id_00": ("Cooling water pump", Playing("pump", 0)),
    "gearbox/id_00": (
        "Conveyor gearbox",
        Playing("gearbox", 0, "tooth_defect", begins_seconds=90, grown_seconds=300),
    ),
    "valve/id_00": (
        "Steam valve 7",
        Playing("valve", 0, "leak", begins_seconds=120, grown_seconds=360),
    ),
}
"""By name: the title, and what it plays. Faults are grown after four to six minutes, so that most machines of
other seeds, too, are in alarm within ten (`benchmarks/demo_rate.py`).
"""


def settings(folder: Path, *, host: str, port: int) -> Settings:
    """Return what the demonstration watches."""
    return Settings(
        service=ServiceSettings(folder=folder / "monitor", host=host, port=port, site="demo"),
        machines=tuple(
            MachineSettings(
                name=name, run=folder / "run", title=title, false_alarms=FALSE_ALARMS, every="10s"
            )
            for name, (title, _) in PLAYING.items()
        ),
        inputs=tuple(
            SimulatedSettings(
                name=f"microphone-{number}",
                machine=name,
                every=f"{playing.clip_seconds / playing.acceleration:g}s",
            )
            for number, (name, (_, playing)) in enumerate(PLAYING.items(), start=1)
        ),
    )


def make_input(
    source: InputSettings, intake: Intake, *, acceleration: float = ACCELERATION, seed: int = SEED
) -> Simulated:
    """Return the input that plays a machine of the demonstration."""
    playing = replace(PLAYING[source.machine][1], acceleration=acceleration)
    return Simulated(source, intake, playing, seed=seed)


def prepare(folder: Path, *, progress: Progress | None = None, seed: int = SEED) -> Path:
    """Simulate normal sound of each machine and learn it, once; return the run."""
    run = folder / "run"
    if (run / FINISHED).exists():
        return run
    clips = []
    total = LEARNT_CLIPS * len(PLAYING)
    for name, (_, playing) in PLAYING.items():
        kind, index = name.split("/")
        machine = draw_machine(playing.kind, playing.index, seed=seed)
        random = np.random.default_rng([seed, playing.index, hash_of(playing.kind), 0])
        for number in range(LEARNT_CLIPS):
            speed, load = CONDITIONS[int(random.integers(len(CONDITIONS)))]
            sound = simulate(
                machine,
                Condition(speed, load),
                seed=int(random.integers(2**62)),
                duration_seconds=CLIP_SECONDS,
                sample_rate=RATE,
            )
            path = folder / "learnt" / kind / index / f"{number:03d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, sound, RATE)
            clips.append(Clip(path, kind, index, "train"))
            if progress is not None:
                progress("normal sound of simulated machines", len(clips), total)
    system = create_system("knn", Config(embedder="modulation"), device="cpu").fit(clips)
    system.save(run)
    write_takings(run, takings_of(clips))
    prepare_monitors(
        run, system, clips, when="at the start", who="the demonstration", progress=progress
    )
    storage.write_json(run / FINISHED, {"seed": seed, "process": os.getpid()})
    return run


def sign_up(service: Service) -> str:
    """Give the user of the demonstration a new password; return it."""
    password, now = secrets.token_urlsafe(9), service.intake.now()
    with service.database.writing() as connection:
        if people.count(connection):
            people.set_password(connection, USER, password, who=USER, now=now)
        else:
            people.add(connection, USER, password, "administrator", who=USER, now=now)
    return password
