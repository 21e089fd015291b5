"""What is true of the test clips: from the organisers, or from the names of development data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from thrum.datasets import open_dataset
from thrum.datasets import truth as published
from thrum.datasets.truth import Known
from thrum.errors import DatasetError, EvaluationError
from thrum.evaluation.dcase.rows import clip_name, rows
from thrum.evaluation.dcase.rules import Part, parts_in
from thrum.types import Domain, Label

_DEVELOPMENT_NAME = re.compile(
    r"(?P<label>normal|anomaly)_(?:id_\d\d)_\d+"
    r"|(?:section_\d\d)_(?P<domain>source|target)_test_(?P<label_>normal|anomaly)_.+"
)

Truth = dict[Part, dict[str, Known]]
"""By what one file of a submission is about, then by file name without its suffix."""


def read_truth(folder: Path) -> Truth:
    """Return what is true of every test clip, sorted by machine and section.

    Parameters
    ----------
    folder
        What the organisers publish of evaluation data (see `thrum.datasets.truth`). Of development
        data, whose file names tell label and domain: the recordings, or a submission.

    Raises
    ------
    EvaluationError
        Where there is no truth in the folder, or what is there is damaged or contradicts itself.
    """
    if not folder.is_dir():
        raise EvaluationError(f"no folder of truth at {folder}")
    try:
        place = published.find([folder])
        truth = _from_organisers(place) if place else _from_submission(folder)
    except DatasetError as error:
        raise EvaluationError(str(error)) from error
    truth = truth or _from_recordings(folder)
    return dict(sorted(truth.items(), key=lambda item: str(item[0])))


def _from_organisers(folder: Path) -> Truth:
    apart = not (folder / "ground_truth_domain").is_dir()
    truth: Truth = {}
    for (machine, section), clips in published.read(folder).items():
        for name, known in clips.items():
            part = Part(machine, section, known.domain if apart else None)
            truth.setdefault(part, {})[name] = known
    return truth


def _from_submission(folder: Path) -> Truth:
    truth: Truth = {}
    for part, path in parts_in(folder, "anomaly_score").items():
        clips = truth.setdefault(part, {})
        for _, row in rows(path):
            name = clip_name(row[0])
            match = _DEVELOPMENT_NAME.fullmatch(name)
            if match is None:
                raise EvaluationError(
                    f"{path}: the name {row[0]} does not tell its label. The truth of evaluation "
                    f"data is the organisers' eval_data_list.csv or ground_truth_data"
                )
            label = cast("Label", match["label"] or match["label_"])
            clips[name] = Known(label, cast("Domain | None", match["domain"]))
    return truth


def _from_recordings(folder: Path) -> Truth:
    try:
        dataset = open_dataset(folder, layout="dcase")
    except DatasetError as error:
        raise EvaluationError(
            f"no truth in {folder}: wanted eval_data_list.csv (2020), ground_truth_data (2021 on) "
            f"or development data with labels in its file names ({error})"
        ) from error
    truth: Truth = {}
    for clip in dataset.where(split="test"):
        if clip.label is None:
            raise EvaluationError(
                f"{clip.path}: the name does not tell the label. The truth of evaluation data is "
                f"the organisers' eval_data_list.csv or ground_truth_data"
            )
        apart = clip.path.parent.name != "test"
        part = Part(clip.machine, clip.machine_id, clip.domain if apart else None)
        truth.setdefault(part, {})[clip_name(clip.name)] = Known(clip.label, clip.domain)
    return truth
