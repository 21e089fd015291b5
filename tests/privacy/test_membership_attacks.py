"""Membership beside reference classifiers."""

import numpy as np

from thrum.evaluation.metrics import auc
from thrum.privacy.audit.attacks.membership import likelihood_ratios


def test_a_margin_is_compared_with_those_of_classifiers_with_and_without_the_clip() -> None:
    # Two clips: one is hard for every classifier, one is easy; each was seen by the first of two references.
    compared = np.array([[0.2, 0.9], [0.1, 0.8], [0.22, 0.92], [0.08, 0.78]])
    seen = np.array([[True, True], [False, False], [True, True], [False, False]])

    ratios = likelihood_ratios(np.array([0.21, 0.79]), compared, seen)

    # By hand: means 0.21 and 0.09, 0.91 and 0.79, variances 1e-4: (0.12² - 0) / 1e-4 and (0 - 0.12²) / 1e-4.
    np.testing.assert_allclose(ratios, [144.0, -144.0])


def test_finds_members_whose_margins_alone_say_nothing() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(0, 10, 400)
    members = random.random(400) < 0.5
    halves = [random.random(400) < 0.5 for _ in range(4)]
    seen = np.array([half for one in halves for half in (one, ~one)])

    def margins(trained: np.ndarray) -> np.ndarray:
        return hard + trained + random.normal(0, 0.3, trained.shape)

    alone = margins(members)
    ratios = likelihood_ratios(alone, margins(seen), seen)

    assert auc(members, alone) < 0.6
    assert auc(members, ratios) > 0.95
