"""A monitor as one ONNX file, that runs where there is no PyTorch (extra ``export``).

``graph`` operators one by one | ``frontend`` samples to log-mel, ``spectra`` to others | ``embedders`` to
frames, ``pretrained`` ones, ``layers`` of networks | ``scores`` what systems make of them | ``decision``
p-value and state | ``monitor`` all of it | ``int8`` with a network in 8 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrum.errors import UsageError

if TYPE_CHECKING:
    from thrum.monitoring import Monitor


def export_monitor(monitor: Monitor, path: Path | str, *, int8: bool = False) -> dict[str, Any]:
    """Write a monitor as one ONNX file; see `thrum.export.monitor.export_monitor`.

    With `int8` its network computes in 8 bits, learnt again from the normal clips that the monitor knows;
    what that came to is told, too, as ``int8`` (`thrum.export.int8.Quantised`).

    Raises
    ------
    UsageError
        Where ``onnx`` is not installed, or something cannot be exported: it is named.
    DataError
        With `int8`, where normal clips are gone.
    """
    try:
        from thrum.export.monitor import export_monitor as export
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise UsageError("exporting wants the package onnx: pip install 'thrum[export]'") from error
    if not int8:
        return export(monitor, Path(path))
    from thrum.export.int8 import quantised

    found = quantised(monitor)
    told = export(found.monitor, Path(path), embedder=found.embedder)
    came_to = ("clips", "rank_agreement", "bytes_before", "bytes_after")
    return {**told, "int8": {name: getattr(found, name) for name in came_to}}


__all__ = ["export_monitor"]
