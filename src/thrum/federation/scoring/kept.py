"""What a server keeps of a round of Algorithm 2, and the scores of new clips that come of it.

::

    <folder>/scoring.json              of each site and machine, its pieces; written when the round is done
    <folder>/classifiers/<group>/      the ID classifiers
    <folder>/pieces/                   the training clips' embeddings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import FederationError, ProtocolError, ThrumError
from thrum.federation.locking import locked
from thrum.federation.messages import MachineKey, parse, plain
from thrum.federation.piece_messages import Piece
from thrum.federation.pieces import Clips, PieceStore
from thrum.federation.result_messages import ScoresMessage
from thrum.systems.embedding_sharing import IDClassifier
from thrum.systems.embedding_sharing.network_scores import Network
from thrum.training import device_of

FILE = "scoring.json"


def keep(folder: Path, listed: Mapping[str, Sequence[Piece]]) -> None:
    """Note which pieces a round of Algorithm 2 learnt from, by site: from then on its clips can be scored."""
    sites = {site: [plain(piece) for piece in pieces] for site, pieces in listed.items()}
    storage.write_sealed(folder / FILE, {"sites": sites}, private=True)


def forget(folder: Path) -> None:
    """Forget what an earlier round could score."""
    (folder / FILE).unlink(missing_ok=True)


def require_kept(folder: Path) -> None:
    """Raise a `FederationError` where a folder holds no round of Algorithm 2 that is done."""
    if not (folder / FILE).exists():
        raise FederationError(
            f"{folder} holds no round of Algorithm 2 that is done: wanted the --out of thrum "
            f"collaborate server --sharing embeddings --algorithm 2"
        )


class KeptNetworks:
    """The networks of a round, one a machine, ready to score new clips; they stay when another round begins.

    Parameters
    ----------
    folder
        The server's store.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    FederationError
        Where the store holds no round of Algorithm 2 that is done.
    """

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        require_kept(folder)
        classifiers = [
            IDClassifier.load(path).to(device_of(device))
            for path in sorted((folder / "classifiers").glob("*"))
        ]
        if not classifiers:
            raise FederationError(f"{folder} holds no classifier any more: run the round again")
        self._networks: dict[tuple[str, MachineKey], Network] = {}
        self._dimensions: dict[MachineKey, int] = {}
        self._one_at_a_time = Lock()
        for (site, key), clips in _clips(folder).items():
            for classifier in classifiers:
                if key in classifier.keys:
                    self._networks[site, key] = Network(classifier, key).fit(clips)
                    self._dimensions[key] = clips[0].shape[1]

    @property
    def machines(self) -> dict[str, list[MachineKey]]:
        """The machines of each site that can be scored."""
        sites = sorted({site for site, _ in self._networks})
        return {name: sorted(key for site, key in self._networks if site == name) for name in sites}

    def scores(
        self, site: str, key: MachineKey, clips: Sequence[NDArray[np.float16]]
    ) -> ScoresMessage:
        """Score new clips (T, D) of a machine of a site, to the bit as the round scored its test clips.

        Raises
        ------
        ProtocolError
            Where the machine is not the site's, or the embeddings are not as in the round.
        """
        network = self._networks.get((site, key))
        if network is None:
            raise ProtocolError(
                f"site {site!r} asks for {'/'.join(key)}, which is not its own here"
            )
        if any(own.shape[1] != self._dimensions[key] for own in clips):
            raise ProtocolError(
                f"site {site!r} sent embeddings of {clips[0].shape[1]} dimensions, "
                f"{self._dimensions[key]} were learnt: use the embedder of the round"
            )
        network.classifier.require_usable(min(clips, key=len))
        with self._one_at_a_time:
            found = network.network_scores(clips)
        message = {"key": list(key), **found.message()}
        return parse(ScoresMessage, message, what="the scores")


class NewestNetworks:
    """The networks of the newest round that is done; while another runs, those of the one before.

    Parameters
    ----------
    folder
        The server's store.
    device
        ``auto``, ``cpu`` or ``cuda``.
    told
        Is told when those of a newer round are taken, and when they cannot be, and why.

    Raises
    ------
    FederationError
        Where the store holds no round of Algorithm 2 that is done, or one is running.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        require_kept(folder)
        self.folder = folder
        self.device = device
        self._told = told
        self._lock = Lock()
        self._stamp = self._now()
        with locked(folder):
            self._kept = KeptNetworks(folder, device=device)

    @property
    def machines(self) -> dict[str, list[MachineKey]]:
        """The machines of each site that can be scored."""
        return self._kept.machines

    def scores(
        self, site: str, key: MachineKey, clips: Sequence[NDArray[np.float16]]
    ) -> ScoresMessage:
        """Score new clips, as `KeptNetworks.scores` has it."""
        with self._lock:
            self._renew()
        return self._kept.scores(site, key, clips)

    def _renew(self) -> None:
        """Take the networks of a newer round, where one is done and no other has begun."""
        stamp = self._now()
        if stamp is None or stamp == self._stamp:
            return
        try:
            with locked(self.folder):
                self._kept = KeptNetworks(self.folder, device=self.device)
        except ThrumError as error:
            self._told(f"a newer round cannot be served yet ({error}); the one before is")
        else:
            self._stamp = stamp
            self._told("the networks of a newer round are served from now on")

    def _now(self) -> tuple[int, int] | None:
        """Return what tells the note of one round from that of another; None while a round runs."""
        try:
            found = (self.folder / FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _clips(folder: Path) -> dict[tuple[str, MachineKey], Clips]:
    """Return the training clips (T, D) of each machine, in the order that they have at their site."""
    store = PieceStore(folder / "pieces")
    placed: dict[tuple[str, MachineKey], list[tuple[int, NDArray[np.float16]]]] = {}
    for site, pieces in storage.read_sealed(folder / FILE)["sites"].items():
        for told in pieces:
            piece = parse(Piece, told, what=f"a piece in {folder / FILE}")
            clips = store.clips(site, "train", piece)
            if clips is None:
                raise FederationError(
                    f"embeddings of site {site!r} in {folder} are missing or damaged: run the round again, "
                    f"which asks for them anew"
                )
            placed.setdefault((site, piece.key), []).extend(zip(piece.places, clips, strict=True))
    return {
        whose: [frames for _, frames in sorted(own, key=lambda one: one[0])]
        for whose, own in placed.items()
    }
