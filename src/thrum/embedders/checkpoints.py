"""The pretrained checkpoints that thrum knows: where they are, and what is known of the files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from thrum.errors import UnknownNameError

Layout = Literal["keras", "torch", "huggingface"]


@dataclass(frozen=True)
class Checkpoint:
    """One published file of weights.

    Parameters
    ----------
    name
        How it is called here.
    url
        Its official address; a name that ends in ``.gz`` is unpacked.
    licence
        The licence of the weights, as their publishers state it.
    layout
        The format of the original: a Keras HDF5 file of weights, a file of torch's `save`, or a
        Hugging Face folder (or the one file of weights in it).
    network
        ``module:Class`` of the network they are for, built with `arguments`.
    state_key
        The key of the state in a torch file that holds more than the state.
    prefix
        What the original puts before each name.
    ignored
        Beginnings of names in the original that are no part of the network here.
    file_bytes, sha256
        Of the file behind `url`; None where they are not known.
    """

    name: str
    url: str
    licence: str
    layout: Layout
    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state_key: str | None = None
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    file_bytes: int | None = None
    sha256: str | None = None


CHECKPOINTS: Mapping[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name="yamnet",
            url="https://storage.googleapis.com/audioset/yamnet.h5",
            licence="Apache-2.0",
            layout="keras",
            network="thrum.networks.yamnet:YAMNet",
        ),
    )
}


def checkpoint_called(name: str) -> Checkpoint:
    """Return the checkpoint called `name`, or raise an `UnknownNameError` with a suggestion."""
    try:
        return CHECKPOINTS[name]
    except KeyError:
        close = difflib.get_close_matches(name, CHECKPOINTS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownNameError(
            f"no checkpoint is called {name!r}.{hint} There are: {', '.join(CHECKPOINTS)}."
        ) from None
