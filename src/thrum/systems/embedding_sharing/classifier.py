"""The ID classifier: learns which machine an embedding is of, and gives an embedding that tells it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thrum import config as configs
from thrum import storage
from thrum.errors import ProtocolError, StorageError, ThrumError, UsageError
from thrum.losses.arcface import ArcFace
from thrum.networks.group_norm import with_group_norm
from thrum.networks.mobilefacenet import MobileFaceNet
from thrum.networks.separable import SeparableNet
from thrum.systems.base import saved_config
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.pool import Frames, MachineKey
from thrum.systems.embedding_sharing.whitening import Whitening

MOST_MEMBERS = 64
MOST_REPEATS = 100  # of a short clip, to fill an input
LARGEST_INPUT = 1 << 26  # values of one input of the network
PLACES = 3  # where the form `sequence` looks at a clip
VALUES_AT_ONCE = (
    1 << 21
)  # of the inputs embedded together: what an image network makes of them is large


@dataclass(frozen=True)
class Shape:
    """How clips become inputs of the network.

    Parameters
    ----------
    dimensions
        D of the frames.
    frames
        T of one input.
    hop
        Frames from one input to the next; None looks at `PLACES` places.
    """

    dimensions: int
    frames: int
    hop: int | None

    def starts(self, length: int) -> NDArray[np.int64]:
        """Return where the inputs of a clip of `length` ≥ `frames` frames begin."""
        last = length - self.frames
        if self.hop is None:
            return np.unique(np.linspace(0, last, PLACES).round().astype(np.int64))
        return np.arange(0, last + 1, self.hop)

    def filled(self, frames: Frames) -> NDArray[np.float32]:
        """Return frames (T, D), repeated from the start where there are too few for one input."""
        repeats = math.ceil(self.frames / len(frames))
        return np.concatenate([np.asarray(frames, np.float32)] * repeats)


class Member(nn.Module):
    """One network with the class anchors it was trained with, and what it whitens by.

    Parameters
    ----------
    shape
        Of its inputs.
    classes
        How many machine IDs it tells apart.
    config
        The settings.
    """

    def __init__(self, shape: Shape, classes: int, config: Config) -> None:
        super().__init__()
        size = config.embedding_size
        self.frame_whitening = Whitening(shape.dimensions)
        self.network: nn.Module = (
            MobileFaceNet(shape.frames, shape.dimensions, embedding_size=size)
            if config.form == "image"
            else SeparableNet(shape.dimensions, shape.frames, embedding_size=size)
        )
        if config.norm == "group":
            with_group_norm(self.network)
        self.loss = ArcFace(size, classes, scale=config.scale, margin=config.margin)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the embeddings (B, E), of length one, of inputs (B, T, D)."""
        embeddings: Tensor = self.network(self.frame_whitening(inputs))
        return functional.normalize(embeddings)


class IDClassifier:
    """A trained classifier of machine IDs.

    Parameters
    ----------
    keys
        The machine IDs, in the order of the classes.
    shape
        Of the networks' inputs.
    config
        The settings it was trained with.
    places
        Where each stood when it was trained, as far as that decides which network has not seen which clip;
        None where they stand so still.
    """

    def __init__(
        self,
        keys: Sequence[MachineKey],
        shape: Shape,
        config: Config,
        *,
        places: Sequence[int] | None = None,
    ) -> None:
        self.keys = list(keys)
        self.places = list(range(len(self.keys)) if places is None else places)
        self.shape = shape
        self.config = config
        self._modules = nn.ModuleList(
            Member(shape, len(keys), config) for _ in range(config.members)
        )
        self._modules.eval()

    @property
    def members(self) -> list[Member]:
        """The networks."""
        return [cast("Member", member) for member in self._modules]

    @torch.inference_mode()
    def embed(self, member: Member, clips: Sequence[Frames]) -> list[NDArray[np.float32]]:
        """Return the embeddings (W, E) of the inputs that each clip (T, D) is cut into."""
        device = member.loss.anchors.device
        embedded: list[NDArray[np.float32]] = []
        for group in self._batched(clips):
            inputs = [
                frames[start : start + self.shape.frames]
                for frames in group
                for start in self.shape.starts(len(frames))
            ]
            counts = [len(self.shape.starts(len(frames))) for frames in group]
            outputs = member(torch.from_numpy(np.stack(inputs)).to(device)).cpu().numpy()
            embedded += np.split(outputs, np.cumsum(counts)[:-1])
        if not all(np.isfinite(windows).all() for windows in embedded):
            raise ThrumError("the ID classifier gave values that are not finite: train it again")
        return embedded

    @torch.inference_mode()
    def cosines(
        self, member: Member, embedded: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        """Return the mean cosine (B, K) of each clip's embeddings (W, E) to the classes."""
        device = member.loss.anchors.device
        rows = [
            member.loss.cosines(torch.from_numpy(windows).to(device)).mean(dim=0).cpu().numpy()
            for windows in embedded
        ]
        return np.reshape(np.asarray(rows, np.float64), (len(rows), len(self.keys)))

    def share_of(self, key: MachineKey, *, clips: int) -> NDArray[np.int64]:
        """Return, for each training clip of a machine, the member that has not seen it."""
        return share_at(self.places[self.keys.index(key)], clips=clips, members=self.config.members)

    def for_site(
        self, own: Collection[MachineKey], order: Sequence[int]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return `message` for a site: classes in another order, and of others' no names.

        Parameters
        ----------
        own
            The site's machines.
        order
            For each class, which it is here. In the order of the names it would tell where others' sort.
        """
        state, description = self.message()
        for name in state:
            if name.endswith("loss.anchors"):
                state[name] = state[name][list(order)]
        keys = [self.keys[place] for place in order]
        return state, {
            **description,
            "keys": [
                list(key) if key in own else ["", str(number)] for number, key in enumerate(keys)
            ],
            "places": [
                self.places[place] % self.config.members if key in own else 0
                for place, key in zip(order, keys, strict=True)
            ],
        }

    def require_usable(self, frames: Frames) -> None:
        """Raise a `ProtocolError` where it is of other embeddings than `frames` (T, D), or fails on them."""
        if frames.shape[1] != self.shape.dimensions:
            raise ProtocolError(
                f"the classifier is of {self.shape.dimensions} dimensions, the embeddings here have "
                f"{frames.shape[1]}"
            )
        if self.shape.frames > MOST_REPEATS * len(frames):
            raise ProtocolError(
                f"the classifier wants inputs of {self.shape.frames} frames, clips here have "
                f"{len(frames)}"
            )
        try:
            for member in self.members:
                self.cosines(member, self.embed(member, [frames]))
        except (ThrumError, RuntimeError, ValueError) as error:
            raise ProtocolError(
                f"the classifier does not work on the embeddings here: {error}"
            ) from error

    def message(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the classifier as plain arrays and a plain description."""
        state = {key: value.cpu().numpy() for key, value in self._modules.state_dict().items()}
        description = {
            "keys": [list(key) for key in self.keys],
            "dimensions": self.shape.dimensions,
            "frames": self.shape.frames,
            "hop": self.shape.hop,
            "config": configs.to_mapping(self.config),
            "places": self.places,
        }
        return state, description

    @classmethod
    def from_message(cls, state: Mapping[str, Any], description: Mapping[str, Any]) -> IDClassifier:
        """Rebuild a classifier from what `message` gave.

        What is described is compared with the arrays that came before anything is built: the memory
        taken is that of the arrays.

        Raises
        ------
        ProtocolError
            Where it is malformed, names what is not registered, or holds values that cannot be.
        """
        try:
            keys = [(str(machine), str(machine_id)) for machine, machine_id in description["keys"]]
            hop = description.get("hop")
            shape = Shape(
                int(description["dimensions"]),
                int(description["frames"]),
                None if hop is None else int(hop),
            )
            config = saved_config(Config, description["config"], where="the classifier")
            _check_values(state, _layout(keys, shape, config))
            places = description.get("places")
            if places is not None and len(places) != len(keys):
                raise ValueError(f"{len(places)} places of {len(keys)} classes")
            classifier = cls(keys, shape, config, places=places)
            classifier._modules.load_state_dict(
                {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
            )
        except (
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
            ArithmeticError,
            UsageError,
        ) as error:
            raise ProtocolError(f"the classifier is not understood: {error}") from error
        return classifier

    def to(self, device: torch.device) -> IDClassifier:
        """Move the networks to `device`."""
        self._modules.to(device)
        return self

    def save(self, folder: Path, **description: Any) -> None:
        """Write ``model.safetensors`` and ``model.json`` into `folder`."""
        state, own = self.message()
        tensors = {key: torch.from_numpy(value) for key, value in state.items()}
        storage.save_state(folder, tensors, {**own, **description})

    @classmethod
    def load(cls, folder: Path) -> IDClassifier:
        """Read what `save` wrote."""
        tensors, description = storage.load_state(folder)
        try:
            return cls.from_message(
                {key: value.numpy() for key, value in tensors.items()}, description
            )
        except ProtocolError as error:
            raise StorageError(f"{folder} does not hold an ID classifier: {error}") from error

    def _batched(self, clips: Sequence[Frames]) -> Iterator[list[NDArray[np.float32]]]:
        """Yield clips, long enough for an input, in groups of inputs that fit into memory."""
        at_once = max(1, VALUES_AT_ONCE // (self.shape.frames * self.shape.dimensions))
        group: list[NDArray[np.float32]] = []
        inputs = 0
        for clip in clips:
            frames = self.shape.filled(clip)
            count = len(self.shape.starts(len(frames)))
            if group and inputs + count > at_once:
                yield group
                group, inputs = [], 0
            group.append(frames)
            inputs += count
        if group:
            yield group


def _layout(
    keys: Sequence[MachineKey], shape: Shape, config: Config
) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of each array of a classifier's state, without taking its memory.

    Raises
    ------
    ValueError
        Where it could not be.
    """
    if len(keys) < 2 or min(shape.dimensions, shape.frames, shape.hop or 1) < 1:
        raise ValueError(f"{len(keys)} classes and {shape}")
    if shape.dimensions * shape.frames > LARGEST_INPUT:
        raise ValueError(f"an input of {shape.frames} frames of {shape.dimensions} dimensions")
    if config.members > MOST_MEMBERS:
        raise ValueError(f"{config.members} networks, {MOST_MEMBERS} at most")
    with torch.device("meta"):
        member = Member(shape, len(keys), config).state_dict()
    kinds = {torch.float32: "float32", torch.int64: "int64"}
    return {
        f"{number}.{name}": (tuple(tensor.shape), kinds[tensor.dtype])
        for number in range(config.members)
        for name, tensor in member.items()
    }


def _check_values(
    state: Mapping[str, Any], layout: Mapping[str, tuple[tuple[int, ...], str]]
) -> None:
    """Raise a `ValueError` where the arrays are not those of the layout, or hold what cannot be."""
    if state.keys() != layout.keys():
        raise ValueError("its arrays are not those that its description asks for")
    for name, value in state.items():
        found = np.asarray(value)
        if (found.shape, found.dtype.name) != layout[name]:
            raise ValueError(f"{name} is {found.dtype} {found.shape}, wanted {layout[name]}")
        if not np.isfinite(found).all():
            raise ValueError(f"{name} holds NaN or infinite values")
        if name.endswith("running_var") and found.min(initial=0) < 0:
            raise ValueError(f"{name} holds negative variances")


def share_of(
    keys: Sequence[MachineKey], key: MachineKey, *, clips: int, members: int
) -> NDArray[np.int64]:
    """Return, for each training clip of a machine, the member that does not see it; −1 where all do.

    The shares of a machine begin at another member than those of the one before it, so that machines of
    few clips do not all keep theirs from the same.
    """
    return share_at(keys.index(key), clips=clips, members=members)


def share_at(place: int, *, clips: int, members: int) -> NDArray[np.int64]:
    """Return `share_of` for the machine that stands at `place`."""
    if members == 1 or clips < 2:
        return np.full(clips, -1)
    return (np.arange(clips) + place) % members
