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
        Its official address; a name that ends in ``.gz`` is unpacked. None where its publishers
        offer it for downloading by hand only.
    page
        Where its publishers describe it.
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
    renamed
        Parts of names in the original, and what they are called in the network here.
    ignored
        Beginnings of names in the original, less the prefix, that are no part of the network here.
    file_bytes, sha256
        Of the file behind `url`; None where they are not known.
    embedders
        The registered embedders that use these weights; empty where only their arguments lead to them.
    """

    name: str
    url: str | None
    page: str
    licence: str
    layout: Layout
    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state_key: str | None = None
    prefix: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    file_bytes: int | None = None
    sha256: str | None = None
    embedders: tuple[str, ...] = ()


_YAMNET = Checkpoint(
    name="yamnet",
    url="https://storage.googleapis.com/audioset/yamnet.h5",
    page="https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
    licence="Apache-2.0",
    layout="keras",
    network="thrum.networks.yamnet:YAMNet",
    embedders=("yamnet",),
)


def _panns(name: str, *, file: str, network: str, embedder: str) -> Checkpoint:
    return Checkpoint(
        name=name,
        url=f"https://zenodo.org/records/3987831/files/{file}?download=1",
        page="https://zenodo.org/records/3987831",
        licence="CC-BY-4.0",
        layout="torch",
        network=f"thrum.networks.cnn14:{network}",
        state_key="model",
        ignored=("spectrogram_extractor.", "logmel_extractor."),
        embedders=(embedder,),
    )


def _openl3(representation: str, content: str) -> Checkpoint:
    default = (representation, content) == ("mel256", "env")
    return Checkpoint(
        name=f"openl3_{representation}_{content}",
        url="https://github.com/marl/openl3/raw/models/"
        f"openl3_audio_{representation}_{content}-v0_4_0.h5.gz",
        page="https://github.com/marl/openl3",
        licence="MIT",
        layout="keras",
        network="thrum.networks.openl3:OpenL3",
        embedders=("openl3", "openl3_6144") if default else (),
    )


def _efficientat(
    name: str,
    *,
    file: str,
    width: float,
    file_bytes: int | None = None,
    sha256: str | None = None,
) -> Checkpoint:
    return Checkpoint(
        name=name,
        url=f"https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/{file}",
        page="https://github.com/fschmid56/EfficientAT",
        licence="MIT",
        layout="torch",
        network="thrum.networks.mobilenetv3:MobileNetV3",
        arguments={"width": width},
        file_bytes=file_bytes,
        sha256=sha256,
        embedders=(name,),
    )


_BEATS = Checkpoint(
    name="beats",
    url=None,  # BEATs_iter3_plus_AS2M.pt, behind links that are signed and change
    page="https://github.com/microsoft/unilm/tree/master/beats",
    licence="MIT",
    layout="torch",
    network="thrum.networks.beats:BEATs",
    state_key="model",
    # All layers share the table of the first; the file names it for each of them.
    ignored=tuple(
        f"encoder.layers.{layer}.self_attn.relative_attention_bias." for layer in range(1, 12)
    ),
    embedders=("beats",),
)
_WAV2VEC2 = Checkpoint(
    name="wav2vec2_base",
    url="https://huggingface.co/facebook/wav2vec2-base/resolve/main/pytorch_model.bin",
    page="https://huggingface.co/facebook/wav2vec2-base",
    licence="Apache-2.0",
    layout="huggingface",
    network="thrum.networks.wav2vec2:wav2vec2_base",
    prefix="wav2vec2.",
    renamed={
        "conv.weight_g": "conv.parametrizations.weight.original0",
        "conv.weight_v": "conv.parametrizations.weight.original1",
    },
    ignored=("quantizer.", "project_hid.", "project_q.", "lm_head."),
    embedders=("wav2vec2",),
)

CHECKPOINTS: Mapping[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        _YAMNET,
        _panns(
            "panns_cnn14",
            file="Cnn14_mAP%3D0.431.pth",
            network="Cnn14",
            embedder="panns_cnn14",
        ),
        _panns(
            "panns_wavegram_logmel_cnn14",
            file="Wavegram_Logmel_Cnn14_mAP%3D0.439.pth",
            network="WavegramLogmelCnn14",
            embedder="panns",
        ),
        *(
            _openl3(representation, content)
            for representation in ("mel256", "mel128", "linear")
            for content in ("env", "music")
        ),
        _efficientat(
            "efficientat_mn04",
            file="mn04_as_mAP_432.pt",
            width=0.4,
            file_bytes=4066513,
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
        ),
        _efficientat("efficientat_mn10", file="mn10_as_mAP_471.pt", width=1.0),
        _BEATS,
        _WAV2VEC2,
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
