"""Simulated machines: unlimited labelled sound, decided by a seed.

`simulate` renders one recording of one machine, `plan` and `render` a dataset without a disk, and
`write_dataset` a folder that `thrum.open_dataset` reads.
"""

from thrum.datasets.synthetic.config import DEMO, SyntheticConfig
from thrum.datasets.synthetic.faults import FAULTS
from thrum.datasets.synthetic.machine import KINDS, Machine, draw_machine
from thrum.datasets.synthetic.plan import SyntheticClip, plan, render
from thrum.datasets.synthetic.scene import Condition, Scene, active_power, simulate, simulate_scene
from thrum.datasets.synthetic.write import write_dataset

__all__ = [
    "DEMO",
    "FAULTS",
    "KINDS",
    "Condition",
    "Machine",
    "Scene",
    "SyntheticClip",
    "SyntheticConfig",
    "active_power",
    "draw_machine",
    "plan",
    "render",
    "simulate",
    "simulate_scene",
    "write_dataset",
]
