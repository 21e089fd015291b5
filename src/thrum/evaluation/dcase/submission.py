"""Reading a submission and putting it beside the truth; writing one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import EvaluationError
from thrum.evaluation.dcase.rows import read_flags, read_scores, require_same
from thrum.evaluation.dcase.rules import parts_in, require_year
from thrum.evaluation.dcase.truth import Truth
from thrum.types import Scores

TEST_FOLDERS = ("test", "source_test", "target_test")


class Section(NamedTuple):
    """Test clips (B,), truth and answers side by side."""

    is_anomaly: NDArray[np.bool_]
    is_target: NDArray[np.bool_]
    scores: NDArray[np.float64]
    decisions: NDArray[np.bool_] | None


def read_submission(folder: Path, truth: Truth, *, year: int) -> dict[tuple[str, str], Section]:
    """Return the sections ``{(machine, section): …}`` of a submission, in the order of `truth`.

    Parameters
    ----------
    folder
        Holds ``anomaly_score_<part>.csv`` and either no or every ``decision_result_<part>.csv``.

    Raises
    ------
    EvaluationError
        Where files or rows are missing, double, foreign or no numbers, or of another year.
    """
    if not folder.is_dir():
        raise EvaluationError(f"no submission folder at {folder}")
    score_files = parts_in(folder, "anomaly_score")
    if not score_files:
        nested = sorted({path.parent for path in folder.glob("*/anomaly_score_*.csv")})
        hint = f"; did you mean {nested[0]}?" if nested else ""
        raise EvaluationError(f"{folder} holds no anomaly_score_*.csv{hint}")
    require_year(score_files, year, where=f"the submission in {folder}")
    require_same(score_files, truth, what="anomaly_score files", where=folder)
    decision_files = parts_in(folder, "decision_result")
    if decision_files:
        require_same(decision_files, truth, what="decision_result files", where=folder)

    sections: dict[tuple[str, str], list[Section]] = {}
    for part, clips in truth.items():
        scores = read_scores(score_files[part])
        require_same(scores, clips, what="clips", where=score_files[part])
        decisions = None
        if decision_files:
            decided = read_flags(decision_files[part])
            require_same(decided, clips, what="clips", where=decision_files[part])
            decisions = np.array([decided[clip] for clip in clips])
        sections.setdefault((part.machine, part.section), []).append(
            Section(
                is_anomaly=np.array([known.label == "anomaly" for known in clips.values()]),
                is_target=np.array([known.domain == "target" for known in clips.values()]),
                scores=np.array([scores[clip] for clip in clips]),
                decisions=decisions,
            )
        )
    return {key: pooled(parts) for key, parts in sections.items()}


def pooled(sections: Iterable[Section]) -> Section:
    """Return the clips of several sections as one."""
    is_anomaly, is_target, scores, decisions = zip(*sections, strict=True)
    return Section(
        np.concatenate(is_anomaly),
        np.concatenate(is_target),
        np.concatenate(scores),
        None if decisions[0] is None else np.concatenate(decisions),
    )


def write_submission(
    folder: Path, scores: Scores, *, thresholds: Mapping[tuple[str, str], float] | None = None
) -> list[Path]:
    """Write the selected scores in the challenge's form, ``anomaly_score_<part>.csv``.

    From 2021 on (machine IDs called by section) ``decision_result_<part>.csv`` comes with them, 1 where the
    score reaches the threshold, if there is one for every machine ID. Of windows of one recording the highest
    score counts.

    Clips in folders that are called otherwise than the challenge's test folders are left out: their
    data have no official evaluation.
    """
    rows: dict[str, dict[str, float]] = {}
    limits: dict[str, float | None] = {}
    for clip, score in zip(scores.clips, scores.columns[scores.selected], strict=True):
        kind = clip.path.parent.name
        if clip.row is None and kind in TEST_FOLDERS:
            part = f"{clip.machine}_{clip.machine_id}_{kind}"
            own = rows.setdefault(part, {})
            own[clip.path.name] = max(float(score), own.get(clip.path.name, -np.inf))
            limits[part] = (thresholds or {}).get(clip.machine_key)
    paths = []
    for part, cells in sorted(rows.items()):
        path = folder / f"anomaly_score_{part}.csv"
        storage.write_text(path, "".join(f"{name},{score!r}\n" for name, score in cells.items()))
        paths.append(path)
    decided = {part: limit for part, limit in limits.items() if limit is not None}
    if len(decided) == len(rows) and all("_section_" in part for part in rows):
        for part, limit in sorted(decided.items()):
            path = folder / f"decision_result_{part}.csv"
            told = "".join(f"{name},{int(score >= limit)}\n" for name, score in rows[part].items())
            storage.write_text(path, told)
            paths.append(path)
    return paths
