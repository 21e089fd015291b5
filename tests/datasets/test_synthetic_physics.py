"""What physics says of each machine and each fault, found again in the sound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, hilbert, sosfiltfilt, welch

from thrum.datasets.synthetic import (
    FAULTS,
    KINDS,
    Condition,
    Machine,
    active_power,
    draw_machine,
    simulate_scene,
)
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import filtered

RATE = 16000
ALL_FAULTS = [(kind, fault) for kind, faults in FAULTS.items() for fault in faults]
TURNING = ("fan", "gearbox", "pump")


def sound(
    machine: Machine, fault: str | None = None, *, severity: float = 1.0, speed: int = 80
) -> NDArray[np.float32]:
    """Six seconds of the machine without the noise of the hall, its power while active brought to 1."""
    scene = simulate_scene(
        machine,
        Condition(speed, 60),
        fault=fault,
        severity=severity if fault else 0.0,
        seed=4,
        duration_seconds=6.0,
    )
    return scene.machine / np.sqrt(active_power(scene.machine, RATE))


def shaft_hz(machine: Machine, speed: int = 80) -> float:
    mechanism = machine.mechanism
    return mechanism.rated_hz * speed / 100 * (1 - mechanism.slip * 0.6)


def spectrum(audio: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return welch(audio, RATE, nperseg=32768)


def line_db(
    hz: NDArray[np.float64], power: NDArray[np.float64], at: float, *, around: float = 0.15
) -> float:
    """How far the strongest bin within 1 % (or 1 Hz) of a frequency rises above its surroundings."""
    width = max(0.01 * at, 1.0)
    near = np.abs(hz - at) <= width
    surroundings = (np.abs(hz - at) <= max(around * at, 6.0)) & (np.abs(hz - at) > 2 * width)
    return float(10 * np.log10(power[near].max() / np.median(power[surroundings])))


def envelope_spectrum(
    audio: NDArray[np.float32], low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The spectrum of how a band swells: what is done to find bearing damage."""
    band = sosfiltfilt(butter(4, (low, high), "bandpass", fs=RATE, output="sos"), audio)
    envelope = np.abs(hilbert(band))
    return welch(envelope - envelope.mean(), RATE, nperseg=32768)


def buses(
    machine: Machine, fault: str | None, severity: float, rate: int = RATE
) -> NDArray[np.float64]:
    """Everything that the mechanism sends out (2, S), for one performance."""
    amounts = {fault: severity * FAULTS[machine.kind][fault]} if fault else {}
    run = Run(3 * rate, rate, speed=0.8, load=0.6, amounts=amounts, seed=4)
    return np.stack(machine.mechanism.sound(run)).astype(np.float64)


@pytest.mark.parametrize("speed", [60, 80, 110])
def test_a_fans_blade_pass_frequency_follows_its_speed(speed: int) -> None:
    fan = draw_machine("fan", 1, seed=0)
    blade_pass = fan.mechanism.blades * shaft_hz(fan, speed)
    hz, power = spectrum(sound(fan, speed=speed))
    assert line_db(hz, power, blade_pass) > 15
    around = (hz > 0.7 * blade_pass) & (hz < 1.3 * blade_pass)
    assert hz[around][power[around].argmax()] == pytest.approx(blade_pass, rel=0.01)


@pytest.mark.parametrize("kind", TURNING)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_bearing_knocks_at_its_defect_frequency(kind: str, index: int) -> None:
    machine = draw_machine(kind, index, seed=0)
    bearing = machine.mechanism.bearing
    defect = bearing.defect_order * shaft_hz(machine)
    band = (bearing.resonance_hz * 0.85, bearing.resonance_hz * 1.15)
    well = line_db(*envelope_spectrum(sound(machine), *band), defect)
    ill = line_db(*envelope_spectrum(sound(machine, "bearing"), *band), defect)
    assert ill > 10
    assert ill > well + 6


def test_the_two_races_of_a_bearing_share_its_balls() -> None:
    # The balls pass a point of the outer race n/2 (1 - d/D) times a turn and one of the inner race
    # n/2 (1 + d/D) times: together as many as there are balls (McFadden & Smith, 1984).
    from dataclasses import replace

    bearing = draw_machine("pump", 0, seed=0).mechanism.bearing
    outer, inner = (replace(bearing, inner=inner).defect_order for inner in (False, True))
    assert outer + inner == pytest.approx(bearing.balls)
    assert outer < inner


@pytest.mark.parametrize("kind", TURNING)
def test_imbalance_raises_the_line_at_the_shafts_speed(kind: str) -> None:
    machine = draw_machine(kind, 1, seed=0)
    levels = []
    for severity in (0.0, 0.5, 1.0):
        hz, power = spectrum(sound(machine, "imbalance", severity=severity))
        near = np.abs(hz - shaft_hz(machine)) < 1
        levels.append(10 * np.log10(power[near].max()))
    assert levels[0] + 3 < levels[1]
    assert levels[1] + 2 < levels[2]


@pytest.mark.parametrize("kind", TURNING)
def test_looseness_brings_half_orders(kind: str) -> None:
    machine = draw_machine(kind, 1, seed=0)
    orders = [order * shaft_hz(machine) for order in (1.5, 2.5, 3.5)]
    well, ill = (
        np.mean([line_db(*spectrum(sound(machine, fault)), order) for order in orders])
        for fault in (None, "looseness")
    )
    assert ill > well + 6


def test_a_tooth_defect_brings_sidebands_at_the_speed_of_its_shaft() -> None:
    gearbox = draw_machine("gearbox", 0, seed=0)
    shaft = shaft_hz(gearbox)
    mesh = gearbox.mechanism.pinion_teeth * shaft
    hz, healthy = spectrum(sound(gearbox))
    _, damaged = spectrum(sound(gearbox, "tooth_defect"))

    def level(power: NDArray[np.float64], steps: NDArray[np.float64]) -> float:
        at = mesh + np.concatenate([-steps, steps]) * shaft
        peaks = [power[np.abs(hz - one) < 1.5].max() for one in at]
        return float(10 * np.log10(np.mean(peaks)))

    steps = np.arange(2, 8.0)
    assert level(damaged, steps) > level(healthy, steps) + 10
    assert level(damaged, steps) > level(damaged, steps + 0.5) + 10


@pytest.mark.parametrize("kind", ["pump", "valve"])
def test_a_leak_hisses(kind: str) -> None:
    machine = draw_machine(kind, 0, seed=0)

    def share_above_3500_hz(audio: NDArray[np.float32]) -> float:
        hz, power = spectrum(audio)
        return float(power[hz > 3500].sum() / power.sum())

    shares = [
        share_above_3500_hz(sound(machine, "leak", severity=severity))
        for severity in (0.0, 0.3, 0.6, 1.0)
    ]
    assert shares == sorted(shares)
    assert shares[-1] > 2 * shares[0]


def test_a_leaking_valve_hisses_most_while_it_is_shut() -> None:
    valve = draw_machine("valve", 0, seed=0)
    hiss = (buses(valve, "leak", 1.0) - buses(valve, None, 0.0))[0]
    # The hiss lies where the flow of the open valve does not.
    flow = np.abs(buses(valve, None, 0.0)[0])
    is_open = np.convolve(flow, np.ones(400) / 400, "same") > 0.25 * flow.max() / 3
    assert np.mean(hiss[~is_open] ** 2) > 10 * np.mean(hiss[is_open] ** 2)


def test_a_clogged_fan_turns_faster_and_louder_at_its_blades() -> None:
    fan = draw_machine("fan", 0, seed=0)
    free = fan.mechanism.blades * shaft_hz(fan)
    hz, well = spectrum(sound(fan))
    _, ill = spectrum(sound(fan, "clogging"))
    near = np.abs(hz - free) < 0.06 * free
    assert hz[near][ill[near].argmax()] > hz[near][well[near].argmax()]


def test_a_starved_pump_surges_and_crackles() -> None:
    pump = draw_machine("pump", 0, seed=0)
    well, ill = sound(pump), sound(pump, "clogging")
    assert line_db(*envelope_spectrum(ill, 400, 1500), 3.1) > 6
    crackle = (5000.0, 7500.0)
    powers = []
    for audio in (well, ill):
        hz, power = spectrum(audio)
        powers.append(power[(hz > crackle[0]) & (hz < crackle[1])].sum())
    assert powers[1] > 2 * powers[0]


def test_a_dirty_valve_strikes_later_and_more_softly() -> None:
    valve = draw_machine("valve", 0, seed=0)
    well, ill = (buses(valve, fault, 1.0)[1] for fault in (None, "clogging"))
    strikes = [np.flatnonzero(np.abs(bus) > 0.4 * np.abs(bus).max()) for bus in (well, ill)]
    assert np.abs(ill).max() < 0.8 * np.abs(well).max()
    assert strikes[1][0] > strikes[0][0]


@pytest.mark.parametrize("kind", ["gearbox", "slider", "valve"])
def test_dry_surfaces_squeal_at_a_mode(kind: str) -> None:
    machine = draw_machine(kind, 0, seed=0)
    at = machine.mechanism.squeal_hz
    powers = []
    for fault in (None, "friction"):
        hz, power = spectrum(sound(machine, fault))
        powers.append(power[np.abs(hz - at) < 0.02 * at].sum())
    assert powers[1] > 3 * powers[0]


def test_a_pitted_rail_knocks_with_each_ball() -> None:
    slider = draw_machine("slider", 0, seed=0)
    rail = slider.mechanism
    # While the carriage keeps its speed: balls a stroke over the time the stroke would take at that speed.
    share = 1 - rail.rest_share - rail.ramp_share
    hz = rail.balls * 0.8 / rail.stroke_seconds / share
    band = (0.85 * rail.defect_hz, 1.15 * rail.defect_hz)
    well, ill = (
        line_db(*envelope_spectrum(sound(slider, fault), *band), hz) for fault in (None, "bearing")
    )
    assert ill > well + 6


def test_a_slide_rail_rests_between_strokes() -> None:
    rail = draw_machine("slider", 0, seed=0)
    power = np.convolve(buses(rail, None, 0.0)[0] ** 2, np.ones(320) / 320, "same")
    stroke = rail.mechanism.stroke_seconds / 0.8
    quiet = power < 1e-3 * np.median(power)
    starts = np.flatnonzero(quiet[1:] & ~quiet[:-1]) / RATE
    assert np.diff(starts) == pytest.approx(stroke, rel=0.02)


def test_a_valve_strikes_twice_a_period() -> None:
    valve = draw_machine("valve", 0, seed=0)
    struck = np.abs(buses(valve, None, 0.0)[1])
    at = np.flatnonzero(struck > 0.3 * valve.mechanism.shut_ratio * struck.max()) / RATE
    starts = at[np.concatenate([[True], np.diff(at) > 0.1])]
    period = valve.mechanism.period_seconds / 0.8
    assert starts[2:] - starts[:-2] == pytest.approx(period, abs=0.02)


@pytest.mark.parametrize(("kind", "fault"), ALL_FAULTS)
def test_a_worse_fault_changes_the_sound_more(kind: str, fault: str) -> None:
    machine = draw_machine(kind, 0, seed=0)
    well = buses(machine, None, 0.0)
    changes = [np.sum((buses(machine, fault, s) - well) ** 2) for s in (0.0, 0.25, 0.5, 1.0)]
    assert changes[0] == 0
    assert all(more > 1.2 * less for less, more in pairwise(changes))


@pytest.mark.parametrize("kind", KINDS)
def test_individuals_differ_but_are_one_product(kind: str) -> None:
    first, second = (np.array(draw_machine(kind, i, seed=0).casing.frequencies_hz) for i in (0, 1))
    other_product = np.array(draw_machine(kind, 0, seed=1).casing.frequencies_hz)
    within = np.abs(np.log(second / first)).mean()
    assert 0.005 < within < 0.08
    assert np.abs(np.log(other_product / first)).mean() > within


@pytest.mark.parametrize(
    ("kind", "fault"), [("pump", "bearing"), ("valve", "looseness"), ("fan", "looseness")]
)
def test_the_sample_rate_does_not_change_the_machine(kind: str, fault: str) -> None:
    machine = draw_machine(kind, 0, seed=0)
    levels = []
    for rate in (16000, 48000):
        air, structure = buses(machine, fault, 1.0, rate).astype(np.float32)
        casing = machine.casing.response(rate, looseness=0.0)
        hz, power = welch(air + filtered(structure, casing, rate), rate, nperseg=rate // 4)
        bands = [power[(hz >= low) & (hz < 2 * low)].sum() for low in (200, 400, 800, 1600, 3200)]
        levels.append(10 * np.log10(bands))
    assert levels[1] - levels[0] == pytest.approx(0, abs=1.5)
