"""What a site knows of one of its machines after a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thrum.federation.messages import MachineKey
from thrum.systems.embedding_sharing import ScorePair, selected
from thrum.types import Clip, Scores


@dataclass(frozen=True)
class SiteScores:
    """What a site knows of one of its machines after a round.

    Parameters
    ----------
    key
        The machine and machine ID.
    clips
        Its test clips.
    scores
        For each method, the scores of the test clips and the left-out scores of the training clips.
    id_accuracy
        The share of its normal test clips whose machine ID the classifier names rightly; None without a
        classifier, or without such clips.
    """

    key: MachineKey
    clips: Sequence[Clip]
    scores: Mapping[str, ScorePair]
    id_accuracy: float | None

    @property
    def test(self) -> Scores:
        """The scores of the test clips, one column a method."""
        columns = {method: pair.test for method, pair in self.scores.items()}
        return Scores(self.clips, columns, selected(columns))
