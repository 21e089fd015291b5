"""What differs from year to year: one table, and which year a set of files is from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

from thrum.errors import EvaluationError
from thrum.types import Domain

Layout = Literal["ids", "separate", "mixed"]

_PART = re.compile(
    r"(?P<machine>.+)_(?P<section>section_\d\d|id_\d\d)(?:_(?P<domain>source|target))?(?:_test)?"
)


class Part(NamedTuple):
    """What one file of a submission is about."""

    machine: str
    section: str
    domain: Domain | None = None

    @property
    def layout(self) -> Layout:
        """The layout that has such a file."""
        if self.section.startswith("id_"):
            return "ids"
        return "separate" if self.domain else "mixed"

    def __str__(self) -> str:
        return f"{self.machine}_{self.section}" + (f"_{self.domain}_test" if self.domain else "")


@dataclass(frozen=True)
class Rules:
    """One year's rules.

    Parameters
    ----------
    layout
        ``ids``: no domains, one file a machine id. ``separate``: source and target clips are tested
        apart, in files of their own. ``mixed``: both are tested together, in one file a section.
    official
        The measures whose harmonic mean over all machines and sections is the official score; empty
        where the year has none.
    interval
        Whether the organisers give a jackknife interval.
    numbers
        The numbers of sections (or machine ids), development and evaluation data together.
    machines
        The machines of the year, development and evaluation data together.
    """

    layout: Layout
    official: tuple[str, ...]
    interval: bool
    numbers: range
    machines: set[str]


_2020 = {"ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve"}
_2021 = {"ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve"}
# And the development data of 2023 to 2025.
_2022 = {"ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"}
_2023 = {"ToyDrone", "ToyNscale", "ToyTank", "Vacuum", "bandsaw", "grinder", "shaker"}
_2024 = {
    "3DPrinter",
    "AirCompressor",
    "BrushlessMotor",
    "HairDryer",
    "HoveringDrone",
    "RoboticArm",
    "Scanner",
    "ToothBrush",
    "ToyCircuit",
}
_2025 = {
    "AutoTrash",
    "BandSealer",
    "CoffeeGrinder",
    "HomeCamera",
    "Polisher",
    "ScrewFeeder",
    "ToyPet",
    "ToyRCCar",
}

_APART = ("auc_source", "auc_target", "pauc_source", "pauc_target")
_TOGETHER = ("auc_source", "auc_target", "pauc")

YEARS: dict[int, Rules] = {
    2020: Rules("ids", (), False, range(8), _2020),
    2021: Rules("separate", _APART, False, range(6), _2021),
    2022: Rules("mixed", _TOGETHER, True, range(6), _2022),
    2023: Rules("mixed", _TOGETHER, True, range(1), _2022 | _2023),
    2024: Rules("mixed", _TOGETHER, True, range(1), _2022 | _2024),
    2025: Rules("mixed", _TOGETHER, True, range(1), _2022 | _2025),
}
_KNOWN_MACHINES = set[str]().union(*(rules.machines for rules in YEARS.values()))


def rules_of(year: int) -> Rules:
    """Return the rules of `year`."""
    if year not in YEARS:
        raise EvaluationError(
            f"no rules for {year}: DCASE Task 2 is evaluated here for {min(YEARS)} to {max(YEARS)}"
        )
    return YEARS[year]


def parts_in(folder: Path, kind: str) -> dict[Part, Path]:
    """Return the files ``<kind>_<part>.csv`` of a folder, with or without ``_test`` at the end.

    Raises
    ------
    EvaluationError
        Where such a file names no part, or two files the same.
    """
    files: dict[Part, Path] = {}
    for path in sorted(folder.glob(f"{kind}_*.csv")):
        match = _PART.fullmatch(path.stem.removeprefix(f"{kind}_"))
        if match is None:
            raise EvaluationError(
                f"{path}: unexpected file name; wanted {kind}_<machine>_section_<XX>_test.csv "
                f"(2021: …_{{source,target}}_test.csv, 2020: {kind}_<machine>_id_<XX>.csv)"
            )
        part = Part(match["machine"], match["section"], cast("Domain | None", match["domain"]))
        if part in files:
            raise EvaluationError(f"{files[part]} and {path.name} are both of {part}: keep one")
        files[part] = path
    return files


def require_year(parts: Iterable[Part], year: int, *, where: str) -> None:
    """Raise an `EvaluationError` that names the year which `parts` look like, unless it is `year`.

    Machines that no year knows fit every year of their layout, so that own data can be evaluated.
    """
    parts = list(parts)
    fitting = [candidate for candidate, rules in YEARS.items() if _fits(parts, rules)]
    if year not in fitting:
        looks = " or ".join(map(str, fitting)) if fitting else "no year that thrum knows"
        raise EvaluationError(
            f"{where} does not fit {year}: it looks like {looks} (it holds {parts[0]}"
            f"{f' to {parts[-1]}' if len(parts) > 1 else ''}). Give the year that the data is from."
        )


def _fits(parts: list[Part], rules: Rules) -> bool:
    return all(
        part.layout == rules.layout
        and (
            part.machine not in _KNOWN_MACHINES
            or (part.machine in rules.machines and int(part.section[-2:]) in rules.numbers)
        )
        for part in parts
    )
