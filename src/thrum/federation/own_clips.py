"""What a site has: its machines' clips, their embeddings as they lie on its disk, and as they would leave."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from thrum.embedders.store import EmbeddingStore
from thrum.errors import DataError
from thrum.federation.messages import MachineKey
from thrum.federation.releasing import Releasing
from thrum.privacy.mechanisms import release
from thrum.systems.embedding_sharing import Moments
from thrum.systems.embedding_sharing.pool import Frames
from thrum.types import Clip

_log = logging.getLogger(__name__)


class OwnClips:
    """The clips of a site, by machine.

    Parameters
    ----------
    machines
        The clips of each machine, of both splits.
    embeddings
        Where they are embedded.
    releasing
        In which form what is shared leaves.
    embeddings_leave
        Returns whether the site shares embeddings at all.
    """

    def __init__(
        self,
        machines: Mapping[MachineKey, Sequence[Clip]],
        embeddings: EmbeddingStore,
        releasing: Releasing,
        embeddings_leave: Callable[[], bool],
    ) -> None:
        self.machines = machines
        self.embeddings = embeddings
        self.releasing = releasing
        self._embeddings_leave = embeddings_leave

    def of(self, key: MachineKey, split: str) -> list[Clip]:
        """Return the clips of a split of one machine."""
        return [clip for clip in self.machines[key] if clip.split == split]

    def frames(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the embeddings (T, D) of clips, as they lie on the disk."""
        return [self.embeddings.frames(clip) for clip in clips]

    def released(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the embeddings of clips as they leave, or would: the site scores what it shares."""
        frames = self.frames(clips)
        if not self._embeddings_leave():  # in whatever form
            return [release(own) for own in frames]
        return [self.releasing.embeddings(own) for own in frames]

    def dimensions(self) -> int:
        """Return D, the size of one embedding."""
        first = next(iter(self.machines))
        return int(self.frames(self.of(first, "train")[:1])[0].shape[1])

    def moments(self) -> dict[MachineKey, Moments]:
        """Return how the clips of each machine vary, as it leaves; of too few clips it does not."""
        moments: dict[MachineKey, Moments] = {}
        least = self.releasing.statistics_chain.least
        for key in self.machines:
            train = self.of(key, "train")
            if len(train) < least:
                _log.warning(
                    "%s has %d training clips: its statistics stay here, wanted at least %d",
                    "/".join(key),
                    len(train),
                    least,
                )
                continue
            try:
                moments[key] = self.releasing.statistics(key, self.released(train))
            except DataError as error:
                _log.warning("%s: %s", "/".join(key), error)
        return moments
