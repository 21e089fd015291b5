"""The server's side of a sum of which it sees no part, and what may be known of the sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thrum.errors import FederationError, ProtocolError
from thrum.federation.mask_messages import Masked, MaskKeys, MaskShares, Total, Unmasking
from thrum.federation.masked import FEWEST_SITES, between
from thrum.federation.messages import Message, parse, plain
from thrum.federation.protocol import SiteHandle
from thrum.federation.roll import Roll
from thrum.privacy.mechanisms.masking import KeyPair, Words, decoded, encoded, mask
from thrum.privacy.mechanisms.shares import joined
from thrum.privacy.mechanisms.statistics import MOST_SECURE_DIMENSIONS
from thrum.systems.embedding_sharing import Moments

SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class Sum:
    """What all machines that took part have together, and nothing of any one.

    Parameters
    ----------
    matrix
        The sum (D, D) of their covariances, each of trace one.
    machines, clips
        How many there are.
    """

    matrix: NDArray[np.float64]
    machines: int
    clips: int

    def message(self) -> Message:
        """Return it as it travels."""
        return plain(Total(_upper(self.matrix), self.machines, self.clips))


def values_of(moments: Mapping[tuple[str, str], Moments], dimensions: int) -> Words:
    """Return what one site adds: its machines' covariances, how many they are, and of how many clips.

    Raises
    ------
    ProtocolError
        Where the embedder has too many dimensions.
    """
    if dimensions > MOST_SECURE_DIMENSIONS:
        raise ProtocolError(
            f"embeddings of {dimensions} dimensions are too large to sum in secret; at most "
            f"{MOST_SECURE_DIMENSIONS}: choose another embedder, or leave 'secure' out"
        )
    total = np.zeros((dimensions, dimensions))
    for own in moments.values():
        total += covariance(own)
    counts = [len(moments), sum(own.count for own in moments.values())]
    return encoded(np.concatenate([_upper(total), np.asarray(counts, np.float64)]))


def covariance(own: Moments) -> NDArray[np.float64]:
    """Return the matrix (D, D) that moments stand for."""
    whole = own.axes.T @ own.axes
    if own.rest:
        directions = own.directions
        whole += own.rest * (np.eye(own.dimensions) - directions.T @ directions)
    return np.asarray(whole)


def summed(roll: Roll, sites: Mapping[str, SiteHandle], dimensions: int) -> Sum:
    """Ask all sites for their masked parts, and return the sum of those that are left.

    A site that is lost after it has given its shares is taken out of the masks by the shares of the others;
    more than half of the sites must be left.

    Raises
    ------
    FederationError
        Where too few are left, or the sum is none of covariances.
    """
    keys = roll.ask(
        lambda name: parse(MaskKeys, sites[name].mask_keys(), what=f"the keys of site {name!r}"),
        "agreeing on masks",
    )
    names = list(keys)
    needed = len(names) // 2 + 1
    if len(names) < FEWEST_SITES:
        raise FederationError(
            f"{len(names)} sites would sum, wanted {FEWEST_SITES}: of two, each knows the other's part"
        )
    peers = [plain(keys[name]) for name in names]
    shares = roll.ask(
        lambda name: _boxes(
            sites[name].mask_shares(peers, names.index(name), needed),
            name,
            names.index(name),
            len(names),
        ),
        "sharing secrets",
    )
    size = dimensions * (dimensions + 1) // 2 + 2

    def ask(name: str) -> Words:
        place = names.index(name)
        for_it = [shares[other][place] if other in shares else "" for other in names]
        words = parse(Masked, sites[name].mask_values(for_it), what=f"what {name!r} adds").values
        if words.dtype != np.uint64 or words.shape != (size,):
            raise ProtocolError(
                f"site {name!r} adds {words.dtype} {words.shape}, wanted uint64 ({size},)"
            )
        return words

    parts = roll.ask(ask, "collecting masked statistics")
    present = [names.index(name) for name in parts]
    if len(present) < max(needed, FEWEST_SITES):
        raise FederationError(
            f"{len(present)} of {len(names)} sites are left, {needed} are needed to take the masks off: "
            f"run again"
        )
    wanted = [names.index(name) for name in shares]
    told = roll.ask(
        lambda name: _parts(sites[name].unmask(present), name, wanted, len(names)),
        "taking masks off",
    )
    if len(told) < needed:
        raise FederationError(f"{len(told)} sites unmask, {needed} are needed: run again")
    total: Words = np.sum(list(parts.values()), axis=0, dtype=np.uint64)
    for number, name in enumerate(names):
        if name not in shares:
            continue  # nobody masked for it
        secret = joined(
            {names.index(one) + 1: int(told[one][number], 16) for one in list(told)[:needed]}
        )
        if number in present:
            total = total - mask(secret, size)
            continue
        lost = KeyPair(secret)
        for other in present:
            # What the one that is left added for the lost one is the negative of what that would have.
            total = total + between(lost, keys[names[other]], number, other, size)
    return _checked(decoded(total), dimensions)


def _checked(values: NDArray[np.float64], dimensions: int) -> Sum:
    """Return the sum, or refuse one that covariances of trace one cannot have."""
    matrix = _square(values[:-2], dimensions)
    machines, clips = (round(float(one)) for one in values[-2:])
    trace = float(np.trace(matrix))
    fits = 1 <= machines <= 1_000_000 and abs(trace - machines) <= SLACK * machines
    if not fits or float(np.linalg.eigvalsh(matrix)[0]) < -SLACK * machines:
        raise FederationError(
            "the sum of the sites' statistics is none that covariances can have: a site sent something "
            "else. Masked, nobody can tell which; run a round without 'secure' to find out"
        )
    return Sum(matrix, machines, clips)


def read_total(message: object, dimensions: int) -> Sum:
    """Check the sum that the server sends down.

    Raises
    ------
    ProtocolError
        Where it is malformed, or no sum of covariances.
    """
    total = parse(Total, message, what="the sum of all sites' statistics")
    size = dimensions * (dimensions + 1) // 2
    if total.values.dtype != np.float64 or total.values.shape != (size,):
        raise ProtocolError(
            f"a sum of {total.values.dtype} {total.values.shape} came, wanted float64 ({size},)"
        )
    if not np.isfinite(total.values).all():
        raise ProtocolError("a sum came with values that are NaN or infinite")
    try:
        return _checked(np.concatenate([total.values, [total.machines, total.clips]]), dimensions)
    except FederationError as error:
        raise ProtocolError(str(error)) from error


def _boxes(answer: Message, name: str, place: int, count: int) -> list[str]:
    boxes = parse(MaskShares, answer, what=f"the shares of site {name!r}").boxes
    if len(boxes) != count or not all(boxes[:place] + boxes[place + 1 :]):
        raise ProtocolError(
            f"site {name!r} sent {sum(map(bool, boxes))} shares, wanted one for each of {count - 1} others"
        )
    return boxes


def _parts(answer: Message, name: str, wanted: Sequence[int], count: int) -> list[str]:
    parts = parse(Unmasking, answer, what=f"the parts of site {name!r}").parts
    if len(parts) != count or not all(parts[number] for number in wanted):
        raise ProtocolError(
            f"site {name!r} sent {sum(map(bool, parts))} parts, wanted {len(wanted)}, one of each site"
        )
    return parts


def _upper(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(matrix[np.triu_indices(len(matrix))])


def _square(values: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    matrix = np.zeros((dimensions, dimensions))
    matrix[np.triu_indices(dimensions)] = values
    return np.asarray(matrix + np.triu(matrix, 1).T)
