"""What does a rotation hide that the server does not know: the paper's hidden f_c (section IV-C)?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, judged, not_measured, r2
from thrum.privacy.audit.material import Material
from thrum.privacy.audit.probes import Ridge, clip_means
from thrum.privacy.mechanisms.secret import rotation

KNOWN = 16
WORDS = {
    "unknown": "How much of a clip's spectrum is read by who does not reckon with a rotation",
    "moments": "The same by who turns it back so that means and variances fit those of other machines",
    "known clips": f"The same by who has {KNOWN} clips as they were before and as they were sent",
}


class Hidden(Attack):
    """What was released is turned by one more secret rotation, and three attackers turn it back."""

    name = "hidden"
    question = "What does a secret rotation hide?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn to read spectra from what is not turned."""
        self._fitted = all(sample.levels is not None for sample in auxiliary.samples)
        self._means = clip_means(auxiliary)
        if self._fitted:
            self._decoder = Ridge().fit(self._means, _spectra(auxiliary), auxiliary.machines)
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Turn clips of other machines, and try to turn them back."""
        if not self._fitted or any(sample.levels is None for sample in released.samples):
            reason = "the clips are stored features: wanted recordings"
            return [not_measured(self.name, q, reason, words=WORDS[q]) for q in WORDS]
        means = clip_means(released)
        secret = f"an audit's secret {self.seed}".encode()
        turned = means @ rotation(secret, means.shape[1])
        random = np.random.default_rng(self.seed)
        known = random.permutation(len(means))[:KNOWN]
        guesses = {
            "unknown": turned,
            "moments": self._by_moments(turned),
            "known clips": turned @ _turn(turned[known], means[known]),
        }
        asked = np.setdiff1d(np.arange(len(means)), known)
        return [
            judged(
                self.name,
                quantity,
                _spectra(released)[asked],
                self._decoder(guess[asked]),
                released.machines[asked],
                measure="R²",
                metric=r2,
                chance=0.0,
                words=WORDS[quantity],
            )
            for quantity, guess in guesses.items()
        ]

    def baseline(self) -> dict[str, float]:
        """Return what the mean of the attacker's own clips explains: nothing."""
        return dict.fromkeys(WORDS, 0.0)

    def _by_moments(self, turned: NDArray[np.float64]) -> NDArray[np.float64]:
        """Match the axes by their variance, their directions by the third moment, and move the mean."""
        theirs, ours = _axes(turned), _axes(self._means)
        centred = turned - turned.mean(axis=0)
        return np.asarray(centred @ theirs @ ours.T + self._means.mean(axis=0))


def _axes(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return axes (D, D) by falling variance, each pointing where its third moment does."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1]
    signs = np.sign(np.power(centred @ axes, 3).sum(axis=0))
    return np.asarray(axes * np.where(signs == 0, 1, signs))


def _turn(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation (D, D) that brings rows nearest to others (Schönemann, 1966).

    Where there are fewer rows than dimensions, what lies beside them is left where it is least.
    """
    left, _, right = np.linalg.svd(before.T @ after)
    return np.asarray(left @ right)


def _spectra(material: Material) -> NDArray[Any]:
    return np.stack(
        [np.mean(sample.levels, axis=0, dtype=np.float64) for sample in material.samples]  # type: ignore[arg-type]
    )
