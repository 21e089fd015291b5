"""What attackers learn with."""

from dataclasses import replace

import numpy as np
import pytest

from privacy.invented import material
from thrum.privacy.audit.attacks.attributes import Attributes
from thrum.privacy.audit.probes import Ridge, _Spectrum, clip_features
from thrum.privacy.mechanisms import parse_chain


@pytest.mark.parametrize("rows", [20, 80])
def test_weights_are_those_of_the_normal_equations_however_many_rows_there_are(rows: int) -> None:
    random = np.random.default_rng(0)
    Z, Y = random.normal(size=(rows, 50)), random.normal(size=(rows, 3))
    added = 0.1 * np.square(Z).sum() / 50

    wanted = np.linalg.solve(Z.T @ Z + added * np.eye(50), Z.T @ Y)

    np.testing.assert_allclose(_Spectrum(Z, Y).weights(0.1), wanted, atol=1e-10)


def test_dimensions_that_stand_still_at_some_machines_are_kept_at_all() -> None:
    """Of YAMNet's 1024 many are nought in all of an attacker's clips, and others in those attacked."""
    learnt, attacked = (
        own.released(parse_chain("clip_mean"), key=b"k") for own in material(leaky=True).divided()
    )
    still = [np.where(np.arange(16) == 3, 0, own).astype(np.float16) for own in attacked.vectors]
    attacked = replace(attacked, vectors=still)

    assert clip_features(attacked).shape[1] == clip_features(learnt).shape[1] == 16
    assert Attributes().fit(learnt).attack(attacked)[0].value is not None


def test_an_input_that_hardly_moved_is_not_blown_up_where_it_moves() -> None:
    random = np.random.default_rng(3)
    known, new = random.normal(size=(90, 4)), random.normal(size=(60, 4))
    truth = known[:, :1] + 0.1 * random.normal(size=(90, 1))
    known[:, 3] *= 1e-6
    guessed = Ridge().fit(known, truth, np.arange(90) % 9)(new)
    assert np.square(guessed - new[:, :1]).mean() < 0.1
