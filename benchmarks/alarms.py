"""Do alarms keep their promise, and how soon are faults raised? The tables of docs/monitoring.md.

    python benchmarks/alarms.py --json docs/results/monitoring/alarms.json

*Promise*: every registered system, shortened, learns two small machines (40 clips of 1.5 s each, one in four
held back where the system wants it). A stream of a million normal scores is drawn from those of 120 clips
that it has not seen: from their smoothed distribution (a Gaussian kernel of Silverman's width), so that no
two are equal. Printed are false alarms in a million clips where one in a thousand was asked for, with a 95 %
Poisson interval, and false words of drift (one in ten thousand).

*Sets*: the same promise on Gumbel scores, over many sets of n normal clips, for each rule.

*Delay*: Gaussian scores, shifted by `severity` deviations from some clip on; the median number of clips until
the alarm, at one false alarm in a thousand clips: by the stream, by a single clip, by 3 of 5, and by CUSUM on
the normal scores of the p-values (reference 0.5 deviations), whose limit is set by simulation to the same
rate.

*Real*: ToyCar and the recordings of the testbed (with --shared), k-NN on log-mel; the stream draws normal
test clips at random, then anomalies: false alarms where one in 200 was asked for, clips until the alarm.

*Drift*: normal scores that grow by one deviation in 5000 clips: alarms, where 5 were promised, and when drift
is said.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from thrum import config as configs
from thrum import storage
from thrum.datasets import open_dataset
from thrum.monitoring.alarms import AlarmSettings
from thrum.monitoring.conformal import p_values
from thrum.monitoring.holding import held_out
from thrum.monitoring.stream import Stream
from thrum.systems import SYSTEMS
from thrum.types import Clip, group_by_machine, rows_by_machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

Table = list[list[str]]
Values = NDArray[np.float64]


def begun(stream: Stream, scores: Values) -> tuple[int, int]:
    """Return how often an alarm, and drift, began."""
    alarms = drifts = 0
    alarm = drift = False
    for score in scores.tolist():
        verdict = stream.hear(score, state="")
        alarms += verdict.alarm and not alarm
        drifts += verdict.drift and not drift
        alarm, drift = verdict.alarm, verdict.drift
    return alarms, drifts


def interval(count: int, clips: int) -> str:
    """Return the 95 % interval of a Poisson rate, in a million clips."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = stats.chi2.ppf(0.975, 2 * count + 2) / 2
    return f"{low * 1e6 / clips:.0f} to {high * 1e6 / clips:.0f}"


def promise(clips: int) -> Table:
    """Return false alarms of every system."""
    import machines
    from contracts.test_contract_systems import QUICK

    table = [
        [
            "system",
            "left-out scores of",
            "normal clips",
            "false alarms in 10⁶",
            "95 %",
            "asked for at most",
            "drift in 10⁶",
            "at most",
        ]
    ]
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        train = open_dataset(machines.write_sound(Path(temporary) / "a", clips=40, anomalies=0))
        unseen = list(
            open_dataset(machines.write_sound(Path(temporary) / "b", clips=60, anomalies=0, seed=1))
        )
        for name in SYSTEMS:
            kind = SYSTEMS.load(name)
            system = kind(configs.with_overrides(kind.Config(), QUICK.get(name, [])), device="cpu")
            learnt, back = list(train), []
            if system.wants_held_out:
                learnt, back = held_out(learnt, 0.25)
            system.fit(learnt)
            if back:
                system.calibrate(back)
            left_out = system.left_out_scores()
            scores = system.score(unseen)
            counts = np.zeros(2, int)
            keys = rows_by_machine(unseen)
            for key, rows in keys.items():
                pool = scores.columns[scores.selected][rows]
                width = 1.06 * pool.std() * len(pool) ** -0.2
                drawn = random.choice(pool, clips // len(keys)) + width * random.normal(
                    size=clips // len(keys)
                )
                counts += begun(Stream({"": left_out[key]}, AlarmSettings()), drawn)
            known = "held-back clips" if back else "training clips"
            number = len(next(iter(left_out.values())))
            rate = [f"{count * 1e6 / clips:.0f}" for count in counts]
            row = [
                name,
                known,
                str(number),
                rate[0],
                interval(counts[0], clips),
                "1000",
                rate[1],
                "100",
            ]
            print(" | ".join(row), flush=True)
            table.append(row)
    return table


def sets(clips: int) -> Table:
    """Return false alarms of every rule, over sets of n normal clips."""
    table = [["rule", "n", "asked: one in", "false alarms in 10⁶", "± standard error", "at most"]]
    random = np.random.default_rng(1)
    for rule, between in (("stream", 1000), ("x of y", 200), ("clip", 200)):
        for n in (20, 50, 300, 1000):
            count = 100
            found = np.array(
                [
                    begun(
                        Stream({"": random.gumbel(size=n)}, AlarmSettings(rule, between)),  # type: ignore[arg-type]
                        random.gumbel(size=clips // count),
                    )[0]
                    for _ in range(count)
                ]
            )
            scale = 1e6 / (clips // count)
            row = [rule, str(n), str(between), f"{found.mean() * scale:.0f}"]
            row += [f"{found.std(ddof=1) / np.sqrt(count) * scale:.0f}", f"{1e6 / between:.0f}"]
            print(" | ".join(row), flush=True)
            table.append(row)
    return table


def by_cusum(limit: float) -> Callable[[Values, Values], int]:
    def first(known: Values, scores: Values) -> int:
        total = 0.0
        for number, z in enumerate(
            stats.norm.isf(np.minimum(p_values(known, scores), 1 - 1e-9)), start=1
        ):
            total = max(0.0, total + z - 0.5)
            if total >= limit:
                return number
        return len(scores) + 1

    return first


def by_rule(rule: str, between: float) -> Callable[[Values, Values], int]:
    def first(known: Values, scores: Values) -> int:
        stream = Stream({"": known}, AlarmSettings(rule, between))  # type: ignore[arg-type]
        for number, score in enumerate(scores.tolist(), start=1):
            if stream.hear(score, state="").alarm:
                return number
        return len(scores) + 1

    return first


def cusum_limit(n: int, between: float, random: np.random.Generator) -> float:
    """Return the limit at which CUSUM runs `between` clips on the mean, over sets of n normal clips."""
    low, high = 0.5, 20.0
    for _ in range(9):
        middle = (low + high) / 2
        first = by_cusum(middle)
        runs = [
            first(random.normal(size=n), random.normal(size=5 * int(between))) for _ in range(60)
        ]
        low, high = (middle, high) if np.mean(runs) < between else (low, middle)
    return high


def delay(repeats: int) -> Table:
    """Return how many clips a fault takes to be raised, by severity."""
    severities = (1.0, 1.5, 2.0, 3.0, 5.0)
    table = [["n", "method", *[f"severity {each:g}" for each in severities]]]
    random = np.random.default_rng(2)
    longest = 200
    for n in (50, 300, 1500):
        methods = {
            "stream": by_rule("stream", 1000),
            "3 of 5": by_rule("x of y", 1000),
            "fixed threshold, single clip": by_rule("clip", 1000),
            "CUSUM": by_cusum(cusum_limit(n, 1000, random)),
        }
        for name, first in methods.items():
            cells = []
            for severity in severities:
                runs = [
                    first(random.normal(size=n), severity + random.normal(size=longest))
                    for _ in range(repeats)
                ]
                middle = np.median(runs)
                cells.append(f"{middle:.0f}" if middle <= longest else f"> {longest}")
            print(" | ".join([str(n), name, *cells]), flush=True)
            table.append([str(n), name, *cells])
    return table


def real_scores(shared: Path) -> Iterator[tuple[str, Values, Values, Values]]:
    """Yield machine, left-out scores, scores of normal test clips and of anomalies."""
    from thrum.systems import create_system

    for folder in ("toycar_logmel", "audio"):
        dataset = open_dataset(shared / "testbed" / folder)
        system = create_system("knn", device="cpu").fit(dataset.where(split="train"))
        left_out = system.left_out_scores()
        for key, own in group_by_machine(dataset.where(split="test")).items():
            normal = [clip for clip in own if clip.label == "normal"]
            anomalies = [clip for clip in own if clip.label == "anomaly"]
            if len(normal) >= 10 and len(anomalies) >= 10:
                yield (
                    "/".join(key),
                    left_out[key],
                    selected(system, normal),
                    selected(system, anomalies),
                )


def selected(system: Any, clips: list[Clip]) -> Values:
    scores = system.score(clips)
    return np.asarray(scores.columns[scores.selected])


def real(shared: Path) -> Table:
    """Return alarms on real machines with clips drawn at random."""
    table = [
        [
            "machine",
            "normal clips",
            "p ≤ 0.05 of normal test clips",
            "false alarms in 10⁴",
            "at most",
            "clips until the alarm: median",
            "90th percentile",
        ]
    ]
    random = np.random.default_rng(3)
    settings = AlarmSettings(between_false_alarms=200)
    for name, left_out, normal, anomalies in real_scores(shared):
        runs, length = 20, 500
        false = sum(
            begun(Stream({"": left_out}, settings), random.choice(normal, length))[0]
            for _ in range(runs)
        )
        first = by_rule("stream", 200)
        waits = [first(left_out, random.choice(anomalies, 100)) for _ in range(100)]
        strange = np.mean(p_values(left_out, normal) <= 0.05)
        row = [
            name,
            str(len(left_out)),
            f"{strange:.2f}",
            f"{false * 1e4 / (runs * length):.0f}",
            "50",
        ]
        row += [
            f"{each:.0f}" if each <= 100 else "> 100" for each in np.quantile(waits, [0.5, 0.9])
        ]
        print(" | ".join(row), flush=True)
        table.append(row)
    return table


def drift() -> Table:
    """Return what a slow drift of normal sound does."""
    table = [
        [
            "drift of one deviation in",
            "alarms in 5000 clips",
            "promised at most",
            "drift is said at clip",
            "alarms before",
        ]
    ]
    random = np.random.default_rng(4)
    for clips in (0, 20_000, 5_000, 1_000):
        stream = Stream({"": random.normal(size=300)}, AlarmSettings())
        steps = np.arange(5000) / clips if clips else np.zeros(5000)
        alarms, said, before, alarm = 0, None, 0, False
        for number, score in enumerate(random.normal(size=5000) + steps):
            verdict = stream.hear(float(score), state="")
            alarms += verdict.alarm and not alarm
            alarm = verdict.alarm
            if verdict.drift and said is None:
                said, before = number, alarms
        row = [
            f"{clips} clips" if clips else "none",
            str(alarms),
            "5",
            str(said or "–"),
            str(before if said else "–"),
        ]
        print(" | ".join(row), flush=True)
        table.append(row)
    return table


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=1_000_000)
    options.add_argument("--repeats", type=int, default=100)
    options.add_argument("--only", nargs="*", default=["drift", "delay", "real", "promise", "sets"])
    options.add_argument("--shared", type=Path, default=Path("../shared"))
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    made: dict[str, Callable[[], Table]] = {
        "promise": lambda: promise(chosen.clips),
        "sets": lambda: sets(chosen.clips),
        "delay": lambda: delay(chosen.repeats),
        "real": lambda: real(chosen.shared),
        "drift": drift,
    }
    kept = storage.read_json(chosen.json) if chosen.json and chosen.json.exists() else {}
    for name in chosen.only:
        started = time.monotonic()
        print(f"{name}:", flush=True)
        kept[name] = made[name]()
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
        if chosen.json:
            storage.write_json(chosen.json, kept)


if __name__ == "__main__":
    main()
