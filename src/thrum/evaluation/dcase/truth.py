"""Reading the truth as the organisers lay it out.

- 2020: ``eval_data_list.csv``, a row with the machine, then ``renamed,original,label`` a clip.
- 2021: ``ground_truth_data/ground_truth_<machine>_section_<XX>_{source,target}_test.csv`` with
  ``file,label``.
- 2022 on: ``ground_truth_data/ground_truth_<machine>_section_<XX>_test.csv`` with ``file,label``,
  and the same in ``ground_truth_domain`` with ``file,domain`` (0 source, 1 target).
  ``ground_truth_attributes`` is not read: in 2022 it contradicts the other two.
- Development data carries label and domain in its file names. Its truth is the folder of the
  recordings (``<machine>/test``, in 2021 ``<machine>/{source,target}_test``) or the submission.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, cast

from thrum.errors import EvaluationError
from thrum.evaluation.dcase.rows import flag, named, read_flags, require_same, rows
from thrum.evaluation.dcase.rules import Part, parts_in
from thrum.types import Domain

_DEVELOPMENT_NAME = re.compile(
    r"(?P<label>normal|anomaly)_(?P<id>id_\d\d)_\d+"
    r"|(?P<section>section_\d\d)_(?P<domain>source|target)_test_(?P<label_>normal|anomaly)_"
)


class TrueClip(NamedTuple):
    """What is known of a test clip."""

    is_anomaly: bool
    domain: Domain | None


Truth = dict[Part, dict[str, TrueClip]]  # by file name


def read_truth(folder: Path) -> Truth:
    """Return what is true of every test clip, sorted by machine and section.

    Raises
    ------
    EvaluationError
        Where the folder is of none of the layouts above, or files are damaged or disagree.
    """
    if not folder.is_dir():
        raise EvaluationError(f"no folder of truth at {folder}")
    if (folder / "eval_data_list.csv").is_file():
        truth = _from_list(folder / "eval_data_list.csv")
    elif (folder / "ground_truth_data").is_dir():
        truth = _from_tables(folder / "ground_truth_data", folder / "ground_truth_domain")
    else:
        truth = _from_names(folder)
    if not truth:
        raise EvaluationError(
            f"no truth in {folder}: wanted eval_data_list.csv (2020), ground_truth_data (2021 on) "
            f"or development data with labels in its file names; the folder holds "
            f"{named(sorted(path.name for path in folder.iterdir())) or 'nothing'}"
        )
    return dict(sorted(truth.items(), key=lambda item: str(item[0])))


def _from_list(path: Path) -> Truth:
    truth: Truth = {}
    machine = ""
    for line, row in rows(path):
        if len(row) == 1:
            machine = row[0]
            continue
        section = re.search(r"id_\d\d", row[0])
        is_anomaly = flag(row[2]) if len(row) == 3 else None
        if not machine or section is None or is_anomaly is None:
            raise EvaluationError(
                f"{path}, line {line}: got {','.join(row)!r}, "
                f"wanted a machine or 'renamed,original,0|1'"
            )
        clips = truth.setdefault(Part(machine, section[0]), {})
        if row[0] in clips:
            raise EvaluationError(f"{path}, line {line}: {row[0]} of {machine} is there twice")
        clips[row[0]] = TrueClip(is_anomaly, None)
    return truth


def _from_tables(label_folder: Path, domain_folder: Path) -> Truth:
    label_files = parts_in(label_folder, "ground_truth")
    if not all(part.domain for part in label_files):
        domain_files = parts_in(domain_folder, "ground_truth")
        require_same(domain_files, label_files, what="ground_truth files", where=domain_folder)
    truth: Truth = {}
    for part, path in label_files.items():
        labels = read_flags(path)
        domains: dict[str, Domain | None] = dict.fromkeys(labels, part.domain)
        if not part.domain:
            is_target = read_flags(domain_files[part])
            require_same(is_target, labels, what="clips", where=domain_files[part])
            domains = {clip: "target" if is_target[clip] else "source" for clip in labels}
        truth[part] = {clip: TrueClip(labels[clip], domains[clip]) for clip in labels}
    return truth


def _from_names(folder: Path) -> Truth:
    recordings = [
        (path.parent.parent.name, path.name, path.parent.name != "test")
        for pattern in ("*/test/*", "*/source_test/*", "*/target_test/*")
        for path in sorted(folder.glob(pattern))
        if path.suffix in {".wav", ".flac"}
    ]
    scored = [
        (part.machine, row[0], part.domain is not None)
        for part, path in parts_in(folder, "anomaly_score").items()
        for _, row in rows(path)
    ]
    truth: Truth = {}
    for machine, name, separate in recordings or scored:
        match = _DEVELOPMENT_NAME.match(name)
        if match is None:
            raise EvaluationError(
                f"{folder}: the name {name} of {machine} does not tell its label. The truth of "
                f"evaluation data is the organisers' eval_data_list.csv or ground_truth_data"
            )
        domain = cast("Domain | None", match["domain"])
        part = Part(machine, match["id"] or match["section"], domain if separate else None)
        clip = TrueClip("anomaly" in (match["label"], match["label_"]), domain)
        truth.setdefault(part, {})[name] = clip
    return truth
