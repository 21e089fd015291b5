"""From recordings of a machine to alarms on new ones, in Python: simulated here, so that it runs anywhere."""

from datetime import UTC, datetime
from pathlib import Path

import thrum
from thrum import audio
from thrum.datasets.synthetic import Condition, draw_machine, simulate
from thrum.monitoring import AlarmSettings, changing
from thrum.monitoring.asked import clips_between
from thrum.monitoring.opening import prepare_monitors
from thrum.monitoring.page import write_page

FOLDER = Path("judged")
PUMP, RUNNING = draw_machine("pump", 0, seed=3), Condition(80, 60)


def record(name: str, seed: int, fault: str | None = None) -> Path:
    """Record four seconds of the pump."""
    settings = {"severity": 1.0, "duration_seconds": 4, "snr_db": 12}
    sound = simulate(PUMP, RUNNING, fault=fault, seed=seed, **settings)
    audio.write(FOLDER / name, sound, 16000)
    return FOLDER / name


# 1. Sixty recordings of the pump while it was well, learnt as `thrum train` does it.
for number in range(60):
    record(f"data/pump/normal/{number:02d}.wav", seed=number)
clips = list(thrum.open_dataset(FOLDER / "data"))
system = thrum.create_system("knn").fit(clips)
system.save(FOLDER / "run")
now = datetime.now(UTC).isoformat(timespec="seconds")
prepare_monitors(FOLDER / "run", system, clips, when=now, who="example")

# 2. A monitor, and what it promises: one false alarm a day at most, with a clip every minute.
between = clips_between("1 per day", every="1 min")
alarms = AlarmSettings(between_false_alarms=between)
monitor = thrum.open_monitor(FOLDER / "run", "pump/id_00", alarms=alarms)
print(monitor.promises)

# 3. New recordings as they come: twelve well, then a leak. The stream remembers what it has heard.
stream = monitor.stream()
for number in range(20):
    path = record(f"new/{number:02d}.wav", 100 + number, "leak" if number >= 12 else None)
    (judgement,) = monitor.judge(path, stream=stream)
    print(f"{path.name}: p = {judgement.p:.3f}, {judgement.state}", end="")
    print(f", since {judgement.since} clips" if judgement.since else "")

# 4. Why: where in time and frequency, and what is different, as a page.
explanation = monitor.explain(path)
print("most of the score comes from", explanation.place)
for difference in explanation.different:
    print("-", difference.words)
write_page(FOLDER / "why.html", explanation)

# 5. A person has looked: it is a leak. It is kept, and never learnt from.
signed = changing.Signed(when=now, who="Ada", why="found a leak at the flange")
changing.confirm_faults(monitor, [path], signed)
heard, confirmed = monitor.recall()
print(f"of {confirmed} confirmed faults {heard} would be heard")
