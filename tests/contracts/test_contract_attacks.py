"""The contract of all attacks: each finds a planted leak, and is at chance on noise."""

import numpy as np
import pytest

from privacy.invented import material
from thrum.privacy.audit import ATTACKS, Finding
from thrum.privacy.audit.attacks import membership
from thrum.privacy.mechanisms import parse_chain

FOUND = {
    "reconstruct": {
        "spectrum": 0.9,
        "detail": 0.2,
        "spectrum by networks": 0.7,
        "detail by networks": 0.2,
    },
    "attributes": {"speed": 0.9, "kind": 0.9, "fault": 0.8},
    "rhythm": {"on": 0.8},
    "speech": {"presence": 0.95, "keyword": 0.95, "speaker": 0.8},
    "linkage": {"machine": 0.6, "hall": 0.95},
    "membership": {"margin": 0.65, "reference": 0.65},
    "whitening": {"two rounds": 0.999},
    "hidden": {"known clips": 0.9},
    "statistics": {"member": 0.7},
}
PLANTED_BY_THE_ROUND = {"whitening", "statistics", "membership"}
"""Attacks on what the round itself makes of embeddings, be they noise."""
"""What is planted, and how much of it each attack must find."""


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one network of few epochs be attacked, and two references: the attack is the same."""
    for settings in ("TRAINED", "REFERENCE"):
        monkeypatch.setattr(membership, settings, ("members=1", "epochs=8"))
    monkeypatch.setattr(membership, "PAIRS", 1)


def attacked(name: str, *, leaky: bool, chain: str = "frames") -> dict[str, Finding]:
    individuals = 4 if name == "membership" else 9
    auxiliary, target = material(leaky=leaky, individuals=individuals).divided()
    released = parse_chain(chain)
    attack = ATTACKS.load(name)(seed=0).fit(auxiliary.released(released, key=b"k"))
    findings = attack.attack(target.released(released, key=b"k"))
    assert {one.quantity for one in findings} == set(attack.baseline())
    assert all(one.attack == name for one in findings)
    return {one.quantity: one for one in findings}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_a_planted_leak_is_found_and_noise_gives_nothing(name: str) -> None:
    found = attacked(name, leaky=True)
    noise = {} if name == "membership" else attacked(name, leaky=False)

    for quantity, least in FOUND[name].items():
        one = found[quantity]
        assert one.value is not None
        assert one.value > least, quantity
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.value + 1e-9
        assert one.value <= one.high + 1e-9
        if name in PLANTED_BY_THE_ROUND and quantity != "kind":
            continue
        nothing = noise[quantity]
        assert nothing.value is not None
        assert nothing.value < nothing.chance + 0.25, quantity
        assert nothing.leak is not None
        assert nothing.leak < 0.5


def test_a_network_that_was_not_trained_tells_no_members(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in ("TRAINED", "REFERENCE"):
        monkeypatch.setattr(membership, settings, ("members=1", "training=untrained"))

    found = attacked("membership", leaky=True)

    for quantity in ("margin", "reference"):
        assert found[quantity].value == pytest.approx(0.5, abs=0.15), quantity


def test_what_was_taken_out_is_not_found() -> None:
    detail = attacked("reconstruct", leaky=True, chain="clip_mean")["detail"]

    assert detail.value == pytest.approx(0.0, abs=1e-6)
    assert detail.leak == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(detail.chance)
