"""What can be set in a run of learning curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thrum.bench.few_clips.draws import Case, Others
from thrum.errors import ConfigError
from thrum.systems.baselines.autoencoder import Config as Autoencoder
from thrum.systems.embedding_sharing import Config as Sharing
from thrum.systems.embedding_sharing import preset_config

Learns = Literal["nothing", "classifier", "joins", "autoencoder", "harms"]


@dataclass(frozen=True)
class Config:
    """Settings of learning curves; all are ours.

    Parameters
    ----------
    learns
        ``nothing``: statistics and neighbours alone, seconds a cell. ``classifier``: an ID classifier of the
        few clips and the others' clips, one training for each site and number of clips. ``joins``: an ID
        classifier of the others' clips, with which the site embeds though it was in no round; one training a
        site. ``autoencoder``: of the few clips alone. ``harms``: nothing, but one of the others does harm to
        the pool of statistics, in every way of `thrum.bench.few_clips.harms`.
    clips
        How many normal clips the scored site has, the others all of theirs; a site with fewer has all it has.
    short
        The same where every site has as few.
    whole
        Also with all clips.
    sharing
        Of the collaboration; its embedder is what all scores but the autoencoder's are of.
    autoencoder
        Of the autoencoder.
    """

    learns: Learns = "nothing"
    clips: tuple[int, ...] = (2, 5, 10, 20, 50)
    short: tuple[int, ...] = (2, 5, 10, 20, 50)
    whole: bool = True
    sharing: Sharing = preset_config("compact")  # noqa: RUF009  # frozen
    autoencoder: Autoencoder = Autoencoder(network_per="machine_id")  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        for name in ("clips", "short"):
            if min(getattr(self, name), default=2) < 2:
                raise ConfigError(
                    f"{name} is {list(getattr(self, name))}, wanted at least 2: one clip has no spread"
                )
        if self.learns in ("joins", "autoencoder") and self.short:
            raise ConfigError(f"learns = {self.learns!r} knows no short others: set short = []")
        if not self.cases:
            raise ConfigError("no number of clips is asked for: set clips, short or whole")

    @property
    def embedder(self) -> str:
        """What gives the frames."""
        return self.autoencoder.embedder if self.learns == "autoencoder" else self.sharing.embedder

    @property
    def cases(self) -> list[Case]:
        """What the scored site and the others have, in the order of the columns."""
        asked: list[tuple[tuple[int, ...], Others]] = [(self.clips, "full"), (self.short, "short")]
        cases = [Case(clips, others) for numbers, others in asked for clips in numbers]
        return [*cases, *([Case(None, "full")] if self.whole else [])]
