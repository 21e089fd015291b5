"""What a table is: rows, columns, data, methods with their settings, and the published numbers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from thrum import config as configs
from thrum.bench.few_clips.draws import called
from thrum.bench.sources import Source
from thrum.errors import ConfigError, UnknownNameError
from thrum.evaluation.curves import LearningCurves

Measure = Literal[
    "auc",
    "pauc",
    "auc_source",
    "auc_target",
    "official",
    "auc_within_source",
    "auc_within_target",
    "official_within",
    "id_accuracy",
]
Mean = Literal["machine_ids", "machines", "harmonic"]

_FOLDER = resources.files("thrum.bench") / "tables"

COLLABORATION = "collaboration"
"""The `Run.system` that stands for sites which learn together, ``thrum collaborate simulate``."""
FEW_CLIPS = "few-clips"
"""The `Run.system` that stands for learning curves: each site in turn is the one with few normal clips."""


@dataclass(frozen=True)
class Run:
    """What is trained: one system with its settings; several rows may show scores of one run.

    Parameters
    ----------
    system
        A registered system, ``collaboration``, or ``few-clips``.
    settings
        What differs from the defaults of the system's `Config`, or from the preset.
    data
        The sources that it is run on; empty for all of the table's.
    trained
        Patterns of ``machine/machine_id`` whose training clips it is given; empty for all.
    train_clips
        Of how many training clips it learns a machine, where that is not the source's number.
    preset, per_machine_type
        Of a collaboration; its embedder is a setting. None groups the machines as the preset does.
        ``few-clips`` takes the preset.
    seeds
        How many seeds where the command does not say; None takes the table's number.
    shortened
        Where the settings make it less than the published experiment: in what.
    minutes
        What one cell of it takes on one core, as measured: for the estimate of the time that is left.
    """

    system: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    train_clips: int | None = None
    preset: Literal["paper", "compact"] = "paper"
    per_machine_type: bool | None = None
    seeds: int | None = None
    shortened: str = ""
    minutes: float | None = None


@dataclass(frozen=True)
class Column:
    """What of the results stands in one column.

    Parameters
    ----------
    name
        The heading.
    source
        On which data; empty for the mean over all of the table's.
    measure
        AUC, partial AUC (p = 0.1), AUC of one domain's normal clips against the anomalies of both, the
        official measures of 2022 and later together (these AUCs of both domains and the partial AUC);
        ``…within…``: the same, but against the anomalies of the same domain, as some papers have it;
        ``id_accuracy``: the share of normal clips whose machine ID is named rightly.
    machine, machine_id
        Of which machine; empty for all.
    mean
        Arithmetic over machine IDs, arithmetic over machine types' means, or harmonic over everything.
    group
        The heading of those columns that are shown together; a table with groups is shown part by part.
    clips, others
        Of ``few-clips``: how many normal clips the scored site has, or ``all``, and whether the others have
        all of theirs, or as few.
    """

    name: str
    source: str = ""
    measure: Measure = "auc"
    machine: str = ""
    machine_id: str = ""
    mean: Mean = "machine_ids"
    group: str = ""
    clips: str = ""
    others: Literal["full", "short"] = "full"

    def scores_called(self, method: str) -> str:
        """Return what the scores are called that the column shows of `method`."""
        return called(method, self.clips, self.others) if self.clips else method

    @property
    def key(self) -> str:
        """What tells the column from the table's others."""
        return f"{self.group}: {self.name}" if self.group else self.name


@dataclass(frozen=True)
class Curve:
    """Columns whose places are drawn as lines, one a row: what a measure comes to with more and more clips.

    Parameters
    ----------
    group
        The heading of the columns; they are called by their number of clips.
    source, measure, machine, machine_id, others
        As of `Column`.
    clips
        Numbers of normal clips, and ``all``.
    """

    group: str
    source: str
    clips: tuple[str, ...]
    measure: Measure = "auc"
    machine: str = ""
    machine_id: str = ""
    others: Literal["full", "short"] = "full"

    @property
    def columns(self) -> tuple[Column, ...]:
        """One for each number of clips."""
        return tuple(
            Column(
                clips,
                self.source,
                self.measure,
                self.machine,
                self.machine_id,
                group=self.group,
                clips=clips,
                others="full" if clips == "all" else self.others,
            )
            for clips in self.clips
        )


@dataclass(frozen=True)
class Row:
    """One method.

    Parameters
    ----------
    name
        As the paper calls it.
    runs
        What to run for it, at most one for each source; empty where only published numbers are known.
    method
        Which of the run's scores the row is about; empty for the one that the system selects.
    published
        Numbers in percent, by column.
    note
        What a reader must know.
    line
        What the row's line is called where there are curves; empty where it is not drawn.
    """

    name: str
    runs: tuple[str, ...] = ()
    method: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    line: str = ""


@dataclass(frozen=True)
class Table:
    """One table of a paper, or one of our own.

    Parameters
    ----------
    title
        What it shows.
    paper
        Where the published numbers are from.
    sources, runs, columns, rows
        What it is made of.
    curves
        Columns that are drawn, too; they come after `columns`.
    seeds
        How many seeds, 0 to `seeds` − 1, where neither the run nor the command says.
    note
        What a reader must know.
    name
        ``paper/table``, from the name of the file.
    """

    title: str
    sources: Mapping[str, Source]
    rows: tuple[Row, ...]
    columns: tuple[Column, ...] = ()
    curves: tuple[Curve, ...] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)
    paper: str = ""
    seeds: int = 3
    note: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        drawn = [column for curve in self.curves for column in curve.columns]
        kept = [column for column in self.columns if column not in drawn]
        object.__setattr__(self, "columns", (*kept, *drawn))  # again the same when it is copied
        if not self.columns:
            raise ConfigError(f"table {self.name} has neither columns nor curves")
        names = [column.key for column in self.columns]
        for kind, found in (("column", names), ("row", [row.name for row in self.rows])):
            for name in found:
                if found.count(name) > 1:
                    raise ConfigError(f"table {self.name}: two {kind}s are called {name!r}")
        for column in self.columns:
            if column.source:
                self._known(column.source, self.sources, f"column {column.key!r}: source")
        for name, run in self.runs.items():
            for source in run.data:
                self._known(source, self.sources, f"run {name!r}: source")
        for row in self.rows:
            for column_name in row.published:
                self._known(column_name, names, f"row {row.name!r}: published in column")
            taken: set[str] = set()
            for name in row.runs:
                self._known(name, self.runs, f"row {row.name!r}: run")
                if shared := taken.intersection(self.sources_of(name)):
                    raise ConfigError(
                        f"table {self.name}, row {row.name!r}: two runs on {min(shared)!r}"
                    )
                taken.update(self.sources_of(name))

    def drawn(
        self, curve: Curve, places: Mapping[tuple[str, str], tuple[float, float]]
    ) -> LearningCurves:
        """Return one of `curves` with its numbers: mean and deviation in percent, by row and column."""
        lines = {
            row.line: {
                column.clips: places[row.name, column.key]
                for column in curve.columns
                if (row.name, column.key) in places
            }
            for row in self.rows
            if row.line
        }
        measure = {"auc": "AUC", "pauc": "partial AUC"}.get(curve.measure, curve.measure)
        return LearningCurves(curve.group, measure, curve.clips, lines)

    @property
    def groups(self) -> dict[str, list[Column]]:
        """The columns that are shown together."""
        groups: dict[str, list[Column]] = {}
        for column in self.columns:
            groups.setdefault(column.group, []).append(column)
        return groups

    def sources_of(self, run: str) -> tuple[str, ...]:
        """Return the sources that a run is run on."""
        return self.runs[run].data or tuple(self.sources)

    def run_of(self, row: Row, source: str) -> str | None:
        """Return the run whose scores `row` shows on `source`."""
        return next((name for name in row.runs if source in self.sources_of(name)), None)

    def only(self, pattern: str) -> Table:
        """Return the table with those rows alone whose name, run or system `pattern` fits.

        Raises
        ------
        UnknownNameError
            Where none fits.
        """
        chosen = tuple(
            row for row in self.rows if any(fnmatch(name, pattern) for name in self._names(row))
        )
        if not chosen:
            names = "; ".join(row.name for row in self.rows)
            raise UnknownNameError(
                f"no row of {self.name} is called {pattern!r}; there are: {names}"
            )
        return replace(self, rows=chosen)

    def _names(self, row: Row) -> set[str]:
        return {row.name, *row.runs, *(self.runs[name].system for name in row.runs)}

    def _known(self, name: str, names: Any, what: str) -> None:
        if name not in names:
            known = ", ".join(names)
            raise ConfigError(f"table {self.name}, {what} {name!r} is not among: {known}")


def table_names() -> tuple[str, ...]:
    """Return the tables that come with thrum, ``paper/table``; those of our own last."""
    files = (file.name for file in _FOLDER.iterdir() if file.name.endswith(".toml"))
    names = (name.removesuffix(".toml").replace("__", "/") for name in files)
    return tuple(sorted(names, key=lambda name: ("/" not in name, name)))


def load_table(name: str) -> Table:
    """Return the table called `name`, or that in a file of one's own, ``….toml``.

    Raises
    ------
    UnknownNameError
        Where there is no such table.
    ConfigError
        Where the file is not a table.
    """
    if name.endswith(".toml"):
        return _read(Path(name), Path(name).stem)
    known = table_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownNameError(
            f"no table is called {name!r}.{hint} There are: {', '.join(known)}; "
            f"or give a file of your own, ….toml"
        )
    with resources.as_file(_FOLDER / f"{name.replace('/', '__')}.toml") as path:
        return _read(path, name)


def _read(path: Path, name: str) -> Table:
    values = {**configs.read_toml(path), "name": name}
    return configs.from_mapping(Table, values, where=f"table {name}")
