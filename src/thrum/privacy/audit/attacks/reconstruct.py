"""What did it sound like? A clip's spectrum, and how it goes on in time, decoded from what was released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.decoder import NetworkDecoder
from thrum.privacy.audit.judging import (
    Finding,
    Metric,
    judged,
    not_measured,
    r2,
    share_of_energy,
)
from thrum.privacy.audit.material import CELL_SECONDS, Material, Sample
from thrum.privacy.audit.probes import Ridge, between, clip_means

AROUND_SECONDS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
"""Where, around a cell, released vectors are looked at: averages over longer windows can be undone so."""
MOST_DIMENSIONS = 96
"""Of a vector's leading directions, each place around a cell contributes so many."""
WORDS = {
    "spectrum": "How much of a clip's average spectrum is read off what is shared",
    "detail": "How much of what changes within a clip, quarter second by quarter second, is read off",
    "spectrum by networks": "The average spectrum, read off by small networks instead of a linear map",
    "detail by networks": "What changes within a clip, read off by small networks",
}


class Reconstruct(Attack):
    """Decoders to log-mel, linear ones and small networks: for a clip's mean, and for what happens within it.

    A linear map of overlapping averages is what undoes them in closed form; what else there is, networks may
    find.
    """

    name = "reconstruct"
    question = "What did it sound like?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn both decoders; none where the clips have no sound."""
        self._fitted = all(sample.levels is not None for sample in auxiliary.samples)
        if not self._fitted:
            return self
        machines = auxiliary.machines
        means = clip_means(auxiliary)
        spectra = _spectra(auxiliary.samples)
        self._spectrum = Ridge().fit(means, spectra, machines)
        self._spectrum_network = NetworkDecoder(seed=self.seed).fit(means, spectra, machines)
        every = np.concatenate([own.astype(np.float64) for own in auxiliary.vectors])
        self._centre = every.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(every.T))
        self._axes = axes[:, ::-1][:, :MOST_DIMENSIONS]
        rows, cells, owners = [], [], []
        for number, sample in enumerate(auxiliary.samples):
            rows.append(self._around(auxiliary, number))
            cells.append(_detail(sample))
            owners.append(np.full(len(cells[-1]), machines[number]))
        known = np.concatenate(rows), np.concatenate(cells), np.concatenate(owners)
        self._decoder = Ridge().fit(*known)
        self._decoder_network = NetworkDecoder(seed=self.seed).fit(*known)
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Decode clips of other machines."""
        if not self._fitted or any(sample.levels is None for sample in released.samples):
            reason = "the clips are stored features: wanted recordings"
            return [not_measured(self.name, q, reason, words=WORDS[q]) for q in WORDS]
        means, machines = clip_means(released), released.machines
        spectra = _spectra(released.samples)
        rows = range(len(released.samples))
        detail = [_detail(sample) for sample in released.samples]
        owners = np.repeat(machines, [len(own) for own in detail])
        within = np.concatenate(detail)
        by_networks = [self._about_mean(self._decoder_network, released, row) for row in rows]
        guesses: dict[str, tuple[Any, Any, Any, Metric]] = {
            "spectrum": (spectra, self._spectrum(means), machines, r2),
            "detail": (
                within,
                np.concatenate([self.detail(released, row) for row in rows]),
                owners,
                share_of_energy,
            ),
            "spectrum by networks": (spectra, self._spectrum_network(means), machines, r2),
            "detail by networks": (within, np.concatenate(by_networks), owners, share_of_energy),
        }
        return [
            judged(
                self.name,
                quantity,
                truth,
                guess,
                of,
                measure="R²",
                metric=metric,
                chance=0.0,
                words=WORDS[quantity],
            )
            for quantity, (truth, guess, of, metric) in guesses.items()
        ]

    def baseline(self) -> dict[str, float]:
        """Return what the mean of the attacker's own clips explains: nothing."""
        return dict.fromkeys(WORDS, 0.0)

    def detail(self, released: Material, row: int) -> NDArray[np.float64]:
        """Return the guess at what changes within a clip, (C, F) in dB about its mean."""
        return self._about_mean(self._decoder, released, row)

    def levels(self, released: Material, row: int) -> NDArray[np.float64]:
        """Return the guess at a clip's log-mel cells (C, F) in dB."""
        mean = released.vectors[row].astype(np.float64).mean(axis=0)
        return np.asarray(self._spectrum(mean[None]) + self.detail(released, row))

    def _about_mean(
        self, decoder: Ridge | NetworkDecoder, released: Material, row: int
    ) -> NDArray[np.float64]:
        guess = decoder(self._around(released, row))
        return np.asarray(guess - guess.mean(axis=0))

    def _around(self, released: Material, row: int) -> NDArray[np.float64]:
        """Return what was released around each cell, (C, places · K)."""
        levels = released.samples[row].levels
        assert levels is not None
        vectors = (released.vectors[row].astype(np.float64) - self._centre) @ self._axes
        centres = (np.arange(len(levels)) + 0.5) * CELL_SECONDS
        at = released.at[row]
        if len(at) == 1:
            return np.repeat(vectors, len(levels), axis=0)
        return np.concatenate([between(at, vectors, centres + s) for s in AROUND_SECONDS], axis=1)


def _spectra(samples: Sequence[Sample]) -> NDArray[np.float64]:
    return np.stack([np.mean(sample.levels, axis=0, dtype=np.float64) for sample in samples])  # type: ignore[arg-type]


def _detail(sample: Sample) -> NDArray[np.float64]:
    levels = np.asarray(sample.levels, np.float64)
    return np.asarray(levels - levels.mean(axis=0))
