"""Cutting audio into frames."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Padding = Literal["constant", "reflect"]


def frame(audio: Tensor, *, length: int, hop: int) -> Tensor:
    """Return the whole frames of audio (B, S): (B, T, length), T = 1 + (S - length) // hop."""
    return audio.unfold(-1, length, hop)


def frame_centred(audio: Tensor, *, length: int, hop: int, padding: Padding = "constant") -> Tensor:
    """Return frames (B, T, length) centred on the samples 0, hop, 2·hop …, T = 1 + S // hop.

    The ends are padded by half a frame, with zeros (``constant``) or with the mirrored sound
    (``reflect``, which needs more than half a frame of sound).
    """
    padded = F.pad(audio, (length // 2, length // 2), mode=padding)  # (B, S + length)
    return frame(padded, length=length, hop=hop)


def pad_to_length(audio: Tensor, samples: int) -> Tensor:
    """Return audio (B, S) with zeros at its end, so that it has at least `samples` samples."""
    missing = samples - audio.shape[-1]
    return F.pad(audio, (0, missing)) if missing > 0 else audio
