"""Scores to results, results to means, and both to CSV files and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import DataError
from thrum.evaluation import metrics
from thrum.types import Domain, Label, Scores, names_of

Cell = str | int | float | None


@dataclass(frozen=True)
class Result:
    """How well one method told one machine's anomalies from its normal sound.

    Parameters
    ----------
    machine, machine_id
        Which machine.
    method
        What the scores are called; the system's own choice is called ``selected``.
    auc, pauc
        AUC and partial AUC (p = 0.1); None where the machine has no anomalies or no normal clips.
    n_normal, n_anomaly
        How many labelled clips there were.
    seed
        The seed of the run.
    """

    machine: str
    machine_id: str
    method: str
    auc: float | None
    pauc: float | None
    n_normal: int
    n_anomaly: int
    seed: int


@dataclass(frozen=True)
class Summary:
    """The arithmetic mean of one method's results.

    Parameters
    ----------
    machine
        The machine type; None for all of them.
    method
        What the scores are called.
    auc, pauc
        Means over the machine IDs that have them, then over the seeds; None where there is none.
    auc_std
        Standard deviation of the mean AUC from seed to seed; None with fewer than two seeds.
    n_machine_ids, n_seeds
        What was averaged.
    """

    machine: str | None
    method: str
    auc: float | None
    pauc: float | None
    auc_std: float | None
    n_machine_ids: int
    n_seeds: int


@dataclass(frozen=True)
class ClipScores:
    """The scores of one machine's clips as they lie in a CSV file."""

    clips: tuple[str, ...]
    labels: tuple[Label | None, ...]
    domains: tuple[Domain | None, ...]
    columns: Mapping[str, NDArray[np.float64]]  # by method, each (B,)


RESULT_COLUMNS = tuple(field.name for field in fields(Result))
_CLIP_COLUMNS = ("clip", "label", "domain")


def results_of(
    scores: Scores, *, seed: int, method_names: Mapping[str, str] | None = None
) -> list[Result]:
    """Return one result for each machine ID and method, in this order.

    Parameters
    ----------
    scores
        Scores of test clips; clips without a label are not counted.
    seed
        The seed of the run.
    method_names
        ``{column: method}``: the columns to report and what to call them; None reports every column
        under its own name.
    """
    names = {column: column for column in scores.columns} if method_names is None else method_names
    rows: dict[tuple[str, str], list[int]] = {}
    for row, clip in enumerate(scores.clips):
        labelled = rows.setdefault(clip.machine_key, [])
        if clip.label is not None:
            labelled.append(row)
    results = []
    for key, labelled in sorted(rows.items()):
        is_anomaly = np.array(
            [scores.clips[row].label == "anomaly" for row in labelled], dtype=bool
        )
        counts = int(np.sum(~is_anomaly)), int(np.sum(is_anomaly))
        for column, method in names.items():
            auc = pauc = None
            if all(counts):
                values = scores.columns[column][labelled]
                auc, pauc = metrics.auc(is_anomaly, values), metrics.partial_auc(is_anomaly, values)
            results.append(Result(*key, method, auc, pauc, *counts, seed))
    return results


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write ``results.csv``, sorted by machine, seed and the order in which the methods came."""
    storage.write_text(path, to_csv(RESULT_COLUMNS, map(astuple, _in_order(results))))


def read_results(path: Path) -> list[Result]:
    """Return what `write_results` wrote.

    Raises
    ------
    DataError
        Where the file is missing or a row is not a result.
    """
    header, rows = _read_csv(path)
    if tuple(header) != RESULT_COLUMNS:
        raise DataError(f"{path}: got {','.join(header)}, wanted {','.join(RESULT_COLUMNS)}")
    results = []
    for line, row in enumerate(rows, start=2):
        try:
            machine, machine_id, method, auc, pauc, n_normal, n_anomaly, seed = row
            areas = float(auc) if auc else None, float(pauc) if pauc else None
            counts = int(n_normal), int(n_anomaly), int(seed)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: got {','.join(row)!r}: {error}") from error
        results.append(Result(machine, machine_id, method, *areas, *counts))
    return results


def summary(results: Iterable[Result]) -> list[Summary]:
    """Return the means of each machine type and, last, of all machine IDs, by method."""
    groups: dict[tuple[str | None, str], list[Result]] = {}
    ordered = _in_order(results)
    for result in ordered:
        groups.setdefault((result.machine, result.method), []).append(result)
    for result in ordered:
        groups.setdefault((None, result.method), []).append(result)
    return [_mean(machine, method, chosen) for (machine, method), chosen in groups.items()]


def comparison(
    results: Iterable[Result], *, measure: Literal["auc", "pauc"] = "auc"
) -> tuple[list[str], list[list[Cell]]]:
    """Return header and rows of a table: machine IDs down, methods across, means over seeds in it.

    The last row is the mean over all machine IDs.
    """
    ordered = _in_order(results)
    overall = {item.method: item for item in summary(ordered) if item.machine is None}
    groups: dict[tuple[str, str], dict[str, list[float | None]]] = {}
    for result in ordered:
        of_machine = groups.setdefault((result.machine, result.machine_id), {})
        of_machine.setdefault(result.method, []).append(getattr(result, measure))
    rows: list[list[Cell]] = [
        [*key, *(_mean_of(of_machine.get(method, [])) for method in overall)]
        for key, of_machine in groups.items()
    ]
    rows.append(["mean", "", *(getattr(item, measure) for item in overall.values())])
    return ["machine", "machine_id", *overall], rows


def unjudged(results: Iterable[Result]) -> list[str]:
    """Return why there is no AUC of each machine ID that has none."""
    told: dict[str, str] = {}
    for result in results:
        if result.auc is not None:
            continue
        if not result.n_normal and not result.n_anomaly:
            lacks = "no test clips with a label"
        else:
            lacks = f"no {'anomalies' if result.n_normal else 'normal clips'} among its test clips"
        told[f"{result.machine}/{result.machine_id}"] = lacks
    return [f"no AUC of {machine}: {lacks}" for machine, lacks in told.items()]


def write_scores(folder: Path, scores: Scores) -> list[Path]:
    """Write ``<machine>_<machine_id>.csv`` (``clip,label,domain,<methods>``) for each machine.

    Raises
    ------
    DatasetError
        Where the files of two machines would have one name.
    """
    rows: dict[tuple[str, str], list[list[Cell]]] = {}
    for row, clip in enumerate(scores.clips):
        values = (float(column[row]) for column in scores.columns.values())
        rows.setdefault(clip.machine_key, []).append([clip.name, clip.label, clip.domain, *values])
    names = names_of(rows)
    paths = []
    for key, cells in sorted(rows.items()):
        path = folder / f"{names[key]}.csv"
        storage.write_text(path, to_csv((*_CLIP_COLUMNS, *scores.columns), cells))
        paths.append(path)
    return paths


def read_scores(path: Path) -> ClipScores:
    """Return what `write_scores` wrote about one machine ID.

    Raises
    ------
    DataError
        Where the file is missing or a row does not fit the header.
    """
    header, rows = _read_csv(path)
    if tuple(header[:3]) != _CLIP_COLUMNS or len(header) < 4:
        raise DataError(f"{path}: got {','.join(header)}, wanted clip,label,domain,<methods>")
    values = np.empty((len(rows), len(header) - 3))
    for row, cells in enumerate(rows):
        try:
            _, label, domain, *numbers = cells
            values[row] = [float(number) for number in numbers]
            known = label in ("", "normal", "anomaly") and domain in ("", "source", "target")
        except ValueError:
            known = False
        if not known:
            raise DataError(f"{path}, line {row + 2}: got {cells}, wanted {','.join(header)}")
    return ClipScores(
        clips=tuple(name for name, *_ in rows),
        labels=tuple(cast("Label | None", label or None) for _, label, *_ in rows),
        domains=tuple(cast("Domain | None", domain or None) for _, _, domain, *_ in rows),
        columns={method: values[:, index] for index, method in enumerate(header[3:])},
    )


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a CSV text: numbers in full precision, None as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _in_order(results: Iterable[Result]) -> list[Result]:
    results = list(results)
    order = {method: i for i, method in enumerate(dict.fromkeys(item.method for item in results))}
    return sorted(
        results, key=lambda item: (item.machine, item.machine_id, item.seed, order[item.method])
    )


def _mean(machine: str | None, method: str, results: list[Result]) -> Summary:
    by_seed: dict[int, list[Result]] = {}
    for result in results:
        by_seed.setdefault(result.seed, []).append(result)
    means = [_mean_of(item.auc for item in chosen) for chosen in by_seed.values()]
    aucs = [mean for mean in means if mean is not None]
    return Summary(
        machine=machine,
        method=method,
        auc=_mean_of(aucs),
        pauc=_mean_of(_mean_of(item.pauc for item in chosen) for chosen in by_seed.values()),
        auc_std=float(np.std(aucs, ddof=1)) if len(aucs) > 1 else None,
        n_machine_ids=len({(r.machine, r.machine_id) for r in results if r.auc is not None}),
        n_seeds=len(by_seed),
    )


def _mean_of(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return metrics.arithmetic_mean(there) if there else None


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise DataError(f"{path} is empty, wanted a header and rows")
    return rows[0], rows[1:]
