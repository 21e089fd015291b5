"""An exported monitor: samples of one clip in; score, p-value and state out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum_edge.errors import EdgeError

FORMAT = 1
"""Of what a file tells of itself, that this version reads."""
_OUTPUTS = ("score", "p_value", "state", "operating_state", "level_db")
_NO_SOUND = "no sound"


@dataclass(frozen=True)
class Reading:
    """What the model says of one clip, whatever came before it.

    Parameters
    ----------
    score
        Higher is stranger; None where there is no sound.
    p
        The share of normal clips that are at least as strange; None where there is no sound.
    state
        ``well``, ``suspicious``, ``unknown state``, ``off`` or ``no sound``.
    operating
        The operating state of the machine, among whose normal clips it was ranked.
    level_db
        Root mean square about the mean, against full scale.
    """

    score: float | None
    p: float | None
    state: str
    operating: str
    level_db: float


class Model:
    """An ONNX file of ``thrum export``.

    Parameters
    ----------
    path
        The file.
    threads
        Of onnxruntime.

    Raises
    ------
    EdgeError
        Where the file is missing, damaged, of another program, or wants a newer onnxruntime.
    """

    def __init__(self, path: Path | str, *, threads: int = 1) -> None:
        import onnxruntime

        self.path = Path(path)
        if not self.path.is_file():
            raise EdgeError(f"no model at {path}: wanted a file that `thrum export` wrote")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EdgeError(_why(self.path, str(error), onnxruntime.__version__)) from error
        self.told = self._told()
        self.machine: str = self.told["machine"]
        self.sample_rate: int = self.told["sample_rate"]

    def judge(self, samples: NDArray[np.floating[Any]]) -> Reading:
        """Judge one clip (S,) in [-1, 1], at `sample_rate`.

        Raises
        ------
        EdgeError
            Where it is shorter than a frame, or has samples that are no numbers.
        """
        samples = np.asarray(samples, np.float32)
        least = self.told["shortest_seconds"]
        if samples.ndim != 1 or len(samples) < least * self.sample_rate:
            raise EdgeError(
                f"got samples of shape {samples.shape}, wanted one clip (S,) of {least} s and more"
            )
        if not np.isfinite(samples).all():
            count = int((~np.isfinite(samples)).sum())
            raise EdgeError(f"{count} samples are NaN or infinite: record again")
        found = self._session.run(list(_OUTPUTS), {"samples": samples})
        score, p, state, operating, level = (value.item() for value in found)
        word = self.told["states"][state]
        heard = word != _NO_SOUND
        if heard and not np.isfinite(score):
            raise EdgeError(f"the score is {score}: is the sound within -1 and 1?")
        name = self.told["operating_states"][operating] if heard else _NO_SOUND
        return Reading(score if heard else None, p if heard else None, word, name, level)

    def _told(self) -> dict[str, Any]:
        text = self._session.get_modelmeta().custom_metadata_map.get("thrum")
        outputs = {output.name for output in self._session.get_outputs()}
        if text is None or not outputs.issuperset(_OUTPUTS):
            raise EdgeError(
                f"{self.path} is a model of another program: wanted one of `thrum export`"
            )
        try:
            told: dict[str, Any] = json.loads(text)
            version = told["format"]
        except (ValueError, TypeError, KeyError) as error:
            raise EdgeError(f"{self.path} does not say what it is: export it again") from error
        if version != FORMAT:
            raise EdgeError(
                f"{self.path} is of format {version!r}, this thrum-edge reads {FORMAT}: install the "
                f"thrum-edge that belongs to thrum {told.get('thrum')}, or export again"
            )
        return told


def _why(path: Path, said: str, version: str) -> str:
    """Return why onnxruntime does not take a file, in words for a person."""
    if re.search(r"opset|ir[_ ]version", said, re.IGNORECASE):
        number = re.search(r"(?:opset|version)\D{0,20}(\d+)", said, re.IGNORECASE)
        which = f" {number[1]}" if number else ""
        return (
            f"{path} has operators of a version{which} that onnxruntime {version} does not know: "
            f"pip install --upgrade onnxruntime, or export it again with the thrum that fits"
        )
    return f"{path} cannot be read as a model, it may be cut short or damaged: copy it again"
