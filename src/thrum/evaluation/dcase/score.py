"""The official figures of a submission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thrum.errors import EvaluationError
from thrum.evaluation import metrics
from thrum.evaluation.dcase.rules import Rules, require_year, rules_of
from thrum.evaluation.dcase.submission import Section, pooled, read_submission
from thrum.evaluation.dcase.truth import read_truth

Measures = Mapping[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one submission.

    Parameters
    ----------
    year
        Whose rules were applied.
    official_score
        The year's official score; None in 2020, which ranked teams by averages over machines.
    ci95
        The half-width of the interval that the organisers print, see `metrics.jackknife_interval`;
        None before 2022.
    machines
        ``{machine: {section: {measure: value}}}``. Precision, recall and F1 are None where the
        submission holds no decisions.
    n_clips
        How many clips were scored.
    """

    year: int
    official_score: float | None
    ci95: float | None
    machines: Mapping[str, Mapping[str, Measures]]
    n_clips: int

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the measures, the same for every section."""
        return tuple(next(iter(next(iter(self.machines.values())).values())))

    def values(self, *measures: str, machine: str | None = None) -> list[float]:
        """Return `measures` of all sections of one machine or of all machines; None is left out.

        ``harmonic_mean(evaluation.values("auc_source", "auc_target", machine="fan"))`` is what the
        organisers call fan's harmonic mean of the AUC.
        """
        return _values(self.machines, measures, machine)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"year", "official_score", "ci95", "machines"}`` as plain values."""
        return {
            "year": self.year,
            "official_score": self.official_score,
            "ci95": self.ci95,
            "machines": {
                machine: {section: dict(measures) for section, measures in sections.items()}
                for machine, sections in self.machines.items()
            },
        }


def evaluate(truth: Path | str, scores: Path | str, year: int) -> Evaluation:
    """Evaluate a submission to DCASE Challenge Task 2 as the organisers of `year` do.

    Parameters
    ----------
    truth
        The organisers' folder with ``eval_data_list.csv`` (2020) or ``ground_truth_data`` and, from
        2022 on, ``ground_truth_domain``; or development data whose file names tell the labels.
    scores
        The folder of one submission: ``anomaly_score_*.csv`` and, optionally,
        ``decision_result_*.csv``.
    year
        2020 to 2025.

    Raises
    ------
    EvaluationError
        Where a file or a row is missing, double or foreign, a score is not finite, or the folders
        are not of `year`.
    """
    rules = rules_of(year)
    true_clips = read_truth(Path(truth))
    require_year(true_clips, year, where=f"the truth in {truth}")
    sections = read_submission(Path(scores), true_clips, year=year)
    machines: dict[str, dict[str, Measures]] = {}
    for (machine, section), clips in sections.items():
        try:
            machines.setdefault(machine, {})[section] = measures_of(clips, rules)
        except EvaluationError as error:
            raise EvaluationError(f"{machine} {section} of {truth}: {error}") from error
    everything = pooled(sections.values())
    official = _values(machines, rules.official, None)
    return Evaluation(
        year=year,
        official_score=metrics.harmonic_mean(official) if official else None,
        ci95=_interval(everything) if rules.interval else None,
        machines=machines,
        n_clips=len(everything.scores),
    )


def measures_of(section: Section, rules: Rules) -> dict[str, float | None]:
    """Return the measures of one section by one year's `rules`."""
    is_anomaly, is_target, scores, decisions = section
    measures: dict[str, float | None] = {}
    answers: dict[str, float | None] = {}
    domains = {} if rules.layout == "ids" else {"source": ~is_target, "target": is_target}
    for domain, own in domains.items():
        # From 2022 on, a domain's normal clips are set against the anomalies of both domains.
        ranked = own if rules.layout == "separate" else own | is_anomaly
        if not own.any() or is_anomaly[own].all():
            lacks = "clips" if not own.any() else "normal clips"
            raise EvaluationError(
                f"the {domain} domain has no {lacks} in the truth: both are wanted"
            )
        measures[f"auc_{domain}"] = metrics.auc(is_anomaly[ranked], scores[ranked])
        if rules.layout == "separate":
            measures[f"pauc_{domain}"] = metrics.partial_auc(is_anomaly[ranked], scores[ranked])
        quality: Mapping[str, float | None] = dict.fromkeys(metrics.DecisionQuality._fields)
        if decisions is not None:
            quality = metrics.decision_quality(is_anomaly[own], decisions[own])._asdict()
        answers |= {f"{name}_{domain}": value for name, value in quality.items()}
    measures["auc"] = metrics.auc(is_anomaly, scores)
    measures["pauc"] = metrics.partial_auc(is_anomaly, scores)
    return measures | answers


def _values(
    machines: Mapping[str, Mapping[str, Measures]], measures: tuple[str, ...], machine: str | None
) -> list[float]:
    return [
        value
        for name, sections in machines.items()
        if machine in (None, name)
        for section in sections.values()
        for measure in measures
        if (value := section[measure]) is not None
    ]


def _interval(clips: Section) -> float:
    """Return the mean of the intervals of AUC and partial AUC over all machines' pooled scores."""
    return metrics.arithmetic_mean(
        metrics.jackknife_interval(clips.is_anomaly, clips.scores, max_fpr=max_fpr)
        for max_fpr in (1.0, metrics.PARTIAL_MAX_FPR)
    )
