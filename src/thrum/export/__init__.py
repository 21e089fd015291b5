"""A monitor as one ONNX file, that runs where there is no PyTorch (extra ``export``).

``graph`` operators one by one | ``frontend`` samples to log-mel, ``embedders`` to frames, ``layers`` of
networks | ``scores`` what systems make of them | ``decision`` p-value and state | ``monitor`` all of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrum.errors import UsageError

if TYPE_CHECKING:
    from thrum.monitoring import Monitor


def export_monitor(monitor: Monitor, path: Path | str) -> dict[str, Any]:
    """Write a monitor as one ONNX file; see `thrum.export.monitor.export_monitor`.

    Raises
    ------
    UsageError
        Where ``onnx`` is not installed, or something cannot be exported: it is named.
    """
    try:
        from thrum.export.monitor import export_monitor as export
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise UsageError("exporting wants the package onnx: pip install 'thrum[export]'") from error
    return export(monitor, Path(path))


__all__ = ["export_monitor"]
