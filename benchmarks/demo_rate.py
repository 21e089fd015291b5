"""Whether the demonstration of the monitor service holds what it says, on machines of other seeds.

    python benchmarks/demo_rate.py --seeds 5 --json demo.json

For each seed five other machines are drawn, learnt and played as ``thrum monitor --demo`` does, by the same
service and the same inputs, but clip after clip with no waiting: ten minutes of their life are 60 clips each.
Told are the minutes of life after which each alarm came (three machines go wrong, from 1, 1.5 and 2
minutes on), and alarms of machines or at times that were well. One false alarm in 1000 clips is what the
demonstration asks for, so of two machines that are well for 60 clips, and three for 6 to 12, at most one
seed in six may have one on average.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from thrum.service import demo
from thrum.service.inputs.simulated import Simulated
from thrum.service.running import Service
from thrum.service.store import views

CLIPS = 60
"""Of each machine: ten minutes."""


def played(folder: Path, seed: int) -> dict[str, list[float]]:
    """Return by machine the minutes of life after which its alarms were raised; each is answered at once."""
    demo.prepare(folder, seed=seed)
    service = Service(
        demo.settings(folder, host="127.0.0.1", port=1),
        makes={"simulated": partial(demo.make_input, seed=seed)},
    )
    raised: dict[str, list[float]] = {name: [] for name in demo.PLAYING}
    known: set[str] = set()
    for number in range(CLIPS):
        for source in service.inputs.values():
            assert isinstance(source, Simulated)
            source.play()
        while service.judging.once():
            pass
        with service.database.reading() as connection:
            alarms = views.alarms_of(connection, limit=1000)
        for alarm in alarms:
            if alarm["id"] not in known:
                known.add(alarm["id"])
                raised[alarm["machine"]].append((number + 1) * demo.CLIP_SECONDS / 60)
    service.stop()
    return raised


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--first", type=int, default=0, help="The first seed.")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    begins = {
        name: playing.begins_seconds / 60 if playing.fault else None
        for name, (_, playing) in demo.PLAYING.items()
    }
    rows: list[dict[str, Any]] = []
    print("seed  " + "  ".join(f"{name:>13}" for name in begins) + "  missed  false  processor s")
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        folder = Path(tempfile.mkdtemp(prefix="demo-rate-"))
        before = time.process_time()
        raised = played(folder, seed)
        shutil.rmtree(folder)
        right = {
            name: [at for at in raised[name] if begin is not None and at > begin]
            for name, begin in begins.items()
        }
        row = {
            "seed": seed,
            "raised after minutes": raised,
            "missed": sum(begin is not None and not right[name] for name, begin in begins.items()),
            "false": sum(len(raised[name]) - len(right[name]) for name in begins),
        }
        rows.append(row)
        cells = [", ".join(f"{at:.1f}" for at in raised[name]) or "–" for name in begins]
        print(
            f"{seed:>4}  "
            + "  ".join(f"{cell:>13}" for cell in cells)
            + f"  {row['missed']:>6}  {row['false']:>5}  {time.process_time() - before:>11.0f}",
            flush=True,
        )
        if chosen.json is not None:
            chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
