"""wav2vec 2.0 (Baevski et al., 2020) in its base size, as transformers builds it (extra `ssl`)."""

from __future__ import annotations

from typing import cast

from torch import nn

from thrum.errors import UsageError

EMBEDDING_SIZE = 768
LAYERS = 12


def wav2vec2_base() -> nn.Module:
    """Return the network, of transformers' class ``Wav2Vec2Model``.

    Raises
    ------
    UsageError
        Where transformers is not installed.
    """
    try:
        from transformers import Wav2Vec2Config, Wav2Vec2Model
    except ImportError as error:
        raise UsageError(
            "wav2vec 2.0 needs the package transformers: pip install 'thrum[ssl]'"
        ) from error
    return cast("nn.Module", Wav2Vec2Model(Wav2Vec2Config()))
