"""Which faults there are; and those that need no shaft, leaks and dry friction.

What a fault does to one mechanism alone lies with that mechanism; what it does to a shaft, in `shaft`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import Signal, drift, hump, periodic, turns

FAULTS: Mapping[str, Mapping[str, float]] = {
    "fan": {"imbalance": 1.5, "bearing": 1.3, "looseness": 1.5, "clogging": 1.5},
    "gearbox": {
        "imbalance": 2.0,
        "bearing": 3.5,
        "looseness": 1.2,
        "tooth_defect": 1.0,
        "friction": 2.0,
    },
    "pump": {"imbalance": 2.5, "bearing": 1.3, "looseness": 1.3, "leak": 0.6, "clogging": 1.0},
    "slider": {"bearing": 2.4, "looseness": 1.5, "friction": 1.5},
    "valve": {"leak": 0.015, "looseness": 1.4, "clogging": 1.0, "friction": 0.3},
}
"""The faults that befall each kind of machine, and how strong each is at severity 1.

Severity 1 is a machine due for repair that still runs. The strengths are ours; they are set so that a k-NN
on mean log-mel finds the faults of every kind neither always nor never (see docs/simulator.md).
"""


def leak(run: Run) -> Signal:
    """Return the hiss (S,) of a jet through a small hole; silence where all is tight.

    A jet's noise is a broad hump around a Strouhal number of 0.2, f = 0.2 U/d: the smaller the hole,
    the higher. Small leaks at plant pressure peak at or above the top of what 16 kHz audio holds.
    """
    amount = run.amount("leak")
    if amount == 0:
        return run.nothing()
    random = run.random("leak")
    peak = random.uniform(3500, 6500)
    hiss = run.noise("hiss", lambda hz: hump(hz, peak, 0.5))
    flutter = 1 + drift(random, run.samples, run.sample_rate, hz=8.0, deviation=0.15)
    return np.float32(amount) * hiss * flutter.astype(np.float32)


def squeal(run: Run, mode_hz: float, contact: Signal) -> Signal:
    """Return the sound (S,) of surfaces that stick and slip; silence where they are greased.

    Stick-slip locks to a mode of the parts in contact: a saw-tooth at the mode's frequency that comes and
    goes, over the noise of dry sliding.

    Parameters
    ----------
    mode_hz
        The mode.
    contact
        (S,), from 0 to 1: how fast or how hard the surfaces rub.
    """
    amount = run.amount("friction")
    if amount == 0:
        return run.nothing()
    random = run.random("friction")
    wobble = drift(random, run.samples, run.sample_rate, hz=12.0, deviation=0.006)
    phase = turns(mode_hz * (1 + wobble), run.sample_rate, start=random.random())
    saw = periodic(
        phase,
        [1.0, 0.5, 0.33, 0.25, 0.2],
        [0.0, 0.25, 0.5, 0.75, 0.0],
        highest=run.highest(mode_hz),
    )
    grip = drift(random, run.samples, run.sample_rate, hz=6.0, deviation=1.0)
    sticking = np.clip(grip - 0.3, 0, 1.5).astype(np.float32)
    dry = run.noise("dry", lambda hz: hump(hz, 2500, 1.0))
    return np.float32(amount) * contact * (sticking * saw + 0.5 * dry)
