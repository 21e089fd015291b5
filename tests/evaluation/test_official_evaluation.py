"""The organisers' own figures, to 1e-12, and what becomes of bad input."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thrum.errors import EvaluationError
from thrum.evaluation import Evaluation, evaluate
from thrum.evaluation.metrics import arithmetic_mean, auc, harmonic_mean, jackknife_interval

EXACT = 1e-12
SUBMISSIONS = [
    *((year, name) for year in range(2020, 2026) for name in ("syn_good", "syn_ties")),
    (2022, "real_Xiao_HEU-HIT_task2_1"),
]
FIGURES = {
    "AUC": "auc",
    "pAUC": "pauc",
    "precision": "precision",
    "recall": "recall",
    "F1 score": "f1",
}


# The organisers' figures


def evaluation_of(shared: Path, year: int, name: str) -> Evaluation:
    folder = shared / "evaluator_cases" / f"dcase{year}"
    return evaluate(folder / "ground_truth", folder / "submissions" / name, year)


def organisers_rows(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield machine ("" for all), header and cells of every row of figures in a ``result.csv``."""
    machine, header = "", [""]
    with path.open(newline="") as file:
        for row in csv.reader(file):
            if len(row) < 2:
                machine = row[0] if row else ""
            elif row[0] in ("section", "id") or row[:3] == ["", "", "AUC"]:
                header = row
            else:
                yield machine, header, row


def organisers_table(
    shared: Path, year: int, name: str
) -> Iterator[tuple[str, list[str], list[str]]]:
    folder = shared / "evaluator_cases" / f"dcase{year}" / "expected"
    stem = f"result_{name}" if year == 2020 else f"{name.removeprefix('real_')}_result"
    return organisers_rows(folder / f"{stem}.csv")


def measure_of(heading: str, domain: str = "") -> str:
    """Return our name of a column like "AUC (source)", or of "AUC" in a row of one domain."""
    figure, _, given = heading.partition(" (")
    domain = given.rstrip(")") or domain
    return FIGURES[figure] if domain in ("", "all") else f"{FIGURES[figure]}_{domain}"


@pytest.mark.data
@pytest.mark.parametrize(("year", "name"), SUBMISSIONS)
def test_every_figure_of_every_section(shared: Path, year: int, name: str) -> None:
    found = evaluation_of(shared, year, name)
    compared = 0
    for machine, header, row in organisers_table(shared, year, name):
        if not row[0].isdigit():
            continue
        section = found.machines[machine][f"{'id' if year == 2020 else 'section'}_{row[0]}"]
        first, domain = (2, row[1]) if year == 2021 else (1, "")
        for heading, value in zip(header[first:], row[first:], strict=True):
            figure = section[measure_of(heading, domain)]
            assert figure == pytest.approx(float(value), abs=EXACT), (machine, row[0], heading)
            compared += 1
    n_sections = sum(len(sections) for sections in found.machines.values())
    assert compared == n_sections * (2 if year == 2020 else 10)


@pytest.mark.data
@pytest.mark.parametrize(("year", "name"), SUBMISSIONS)
def test_every_mean(shared: Path, year: int, name: str) -> None:
    found = evaluation_of(shared, year, name)
    compared = 0
    for machine, header, row in organisers_table(shared, year, name):
        if row[0].isdigit() or row[0].startswith("official"):
            continue
        one_domain = row[0].split()[0] if row[0].startswith(("source", "target")) else ""
        if year == 2022 and machine and one_domain:
            continue  # the quirk, see below
        for heading, value in list(zip(header, row, strict=True))[1 if year == 2020 else 2 :]:
            domains = (one_domain,) if one_domain else ("source", "target")
            names = [measure_of(heading, domain) for domain in domains]
            names = [name if name in found.measures else FIGURES[heading] for name in names]
            values = found.values(*names[: 1 if year == 2020 else 2], machine=machine or None)
            mean = harmonic_mean if "harmonic" in row[0] else arithmetic_mean
            assert mean(values) == pytest.approx(float(value), abs=EXACT), (machine, row[0])
            compared += 1
    n_machines = len(found.machines)
    expected = {2020: 2 * n_machines, 2022: 10 * n_machines + 20}
    assert compared == expected.get(year, 20 * n_machines + 20)


@pytest.mark.data
@pytest.mark.parametrize("name", [name for year, name in SUBMISSIONS if year == 2022])
def test_quirk_of_2022_is_not_copied(shared: Path, name: str) -> None:
    """Its per-machine source rows hold the first section alone, its target rows the other five."""
    found = evaluation_of(shared, 2022, name)
    rows = {
        (machine, row[0].split()[0]): float(row[2])
        for machine, _, row in organisers_table(shared, 2022, name)
        if machine and row[0] in ("source harmonic mean", "target harmonic mean")
    }
    assert len(rows) == 14
    for (machine, domain), printed in rows.items():
        source = found.values("auc_source", machine=machine)
        target = found.values("auc_target", machine=machine)
        sliced = source[:1] if domain == "source" else source[1:] + target
        assert harmonic_mean(sliced) == pytest.approx(printed, abs=EXACT)
        right = harmonic_mean(source if domain == "source" else target)
        assert right != pytest.approx(printed, abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize(("year", "name"), SUBMISSIONS)
def test_official_score_and_interval(shared: Path, year: int, name: str) -> None:
    found = evaluation_of(shared, year, name)
    rows = {row[0]: float(row[2]) for _, _, row in organisers_table(shared, year, name) if row[2]}
    path = shared / "evaluator_cases" / "expected_official_scores.json"
    expected = json.loads(path.read_text()).get(f"{year}/{name}", {}).get("official_score")
    assert (found.official_score is None) == (expected is None) == (year == 2020)
    assert (found.ci95 is None) == ("official score ci95" not in rows) == (year < 2022)
    if expected is not None:
        assert found.official_score == pytest.approx(expected, abs=EXACT)
        assert found.official_score == pytest.approx(rows["official score"], abs=EXACT)
    if found.ci95 is not None:
        assert found.ci95 == pytest.approx(rows["official score ci95"], abs=EXACT, rel=1e-9)


@pytest.mark.data
def test_official_baselines(shared: Path) -> None:
    path = shared / "evaluator_cases" / "official_baseline_eval_2023_2024.json"
    for baseline in json.loads(path.read_text()).values():
        columns = [baseline[name] for name in ("AUC (source)", "AUC (target)", "pAUC")]
        everything = [value for column in columns for value in column]
        assert harmonic_mean(everything) == pytest.approx(baseline["official_score"], abs=EXACT)


@pytest.mark.data
@pytest.mark.parametrize("name", ["gmm_mix_1", "gmm_smote", "mixup_bce"])
def test_real_development_scores_of_2022(shared: Path, name: str) -> None:
    folder = shared / "evaluator_cases" / "dcase2022_dev_real" / name
    found = evaluate(folder, folder, 2022)
    compared = 0
    for machine, _, row in organisers_rows(folder / "result.csv"):
        for measure, value in zip(("auc_source", "auc_target", "pauc"), row[1:], strict=True):
            if row[0].isdigit():
                figure = found.machines[machine][f"section_{row[0]}"][measure]
            elif machine:
                mean = harmonic_mean if row[0].startswith("harmonic") else arithmetic_mean
                figure = mean(found.values(measure, machine=machine))
            else:
                mean = harmonic_mean if row[0].startswith("(H)") else arithmetic_mean
                of_machines = [mean(found.values(measure, machine=m)) for m in found.machines]
                figure = round(arithmetic_mean(of_machines), 4)
            assert figure == pytest.approx(float(value), abs=EXACT), (machine, row[0], measure)
            compared += 1
    assert compared == 7 * 5 * 3 + 6
    assert found.values("f1_source", "precision_target") == []


@pytest.mark.data
def test_own_domain_definition_is_told_apart(shared: Path) -> None:
    """These published figures set a domain's normal clips against its own anomalies only."""
    folder = (
        shared / "evaluator_cases" / "dcase2022_dev_real" / "own_domain_definition_counterexample"
    )
    found = evaluate(folder, folder, 2022)
    n_different = 0
    for machine, _, row in organisers_rows(folder / "result.csv"):
        if not row[0].isdigit():
            continue
        with (folder / f"anomaly_score_{machine}_section_{row[0]}.csv").open() as file:
            clips = [(name, float(score)) for name, score in csv.reader(file)]
        section = found.machines[machine][f"section_{row[0]}"]
        for domain, value in zip(("source", "target"), row[1:], strict=False):
            own = [(name, score) for name, score in clips if f"_{domain}_" in name]
            figure = auc(["anomaly" in name for name, _ in own], [score for _, score in own])
            assert figure == pytest.approx(float(value), abs=EXACT)
            n_different += abs(section[f"auc_{domain}"] - float(value)) > 1e-6
        assert section["pauc"] == pytest.approx(float(row[3]), abs=EXACT)
    assert n_different > 30


@pytest.mark.data
@pytest.mark.parametrize("name", ["mlperf_tiny_keras", "mlperf_tiny_tflite"])
def test_real_development_scores_of_2020(shared: Path, name: str) -> None:
    folder = shared / "evaluator_cases" / "dcase2020_dev_real" / name
    found = evaluate(folder, folder, 2020)
    rows = list(organisers_rows(folder / "result.csv"))
    assert [row[0] for _, _, row in rows] == ["01", "02", "03", "04", "Average"]
    for machine, _, row in rows:
        for measure, value in zip(("auc", "pauc"), row[1:], strict=True):
            values = found.values(measure, machine=machine)
            if row[0].isdigit():
                values = [found.machines[machine][f"id_{row[0]}"][measure]]
            assert arithmetic_mean(values) == pytest.approx(float(value), abs=EXACT)


# A case by hand, in every layout

# name, is anomaly, is target, score, decision
CLIPS = [
    ("0000", 0, 0, 0.1, 0),
    ("0001", 0, 0, 0.4, 1),
    ("0002", 1, 0, 0.3, 0),
    ("0003", 1, 0, 0.9, 1),
    ("0004", 0, 1, 0.5, 0),
    ("0005", 0, 1, 0.7, 0),
    ("0006", 1, 1, 0.6, 0),
    ("0007", 1, 1, 0.5, 0),
]


def standardised(area: float) -> float:
    return 0.5 * (1 + (area - 0.005) / 0.095)


def write(path: Path, rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def lay_out(folder: Path, year: int, *parts: str) -> tuple[Path, Path]:
    """Write truth and submission of `CLIPS` for each of `parts` as the organisers do."""
    truth, scores = folder / "truth", folder / "scores"
    listed: list[tuple[object, ...]] = []
    for part in parts or (f"fan_{'id' if year == 2020 else 'section'}_00",):
        section = part.partition("_")[2]
        for domain in ("_source", "_target") if year == 2021 else ("",):
            clips = [
                (f"{section}{domain}_{name}.wav", anomaly, target, score, decision)
                for name, anomaly, target, score, decision in CLIPS
                if domain in ("", "_target" if target else "_source")
            ]
            file = f"{part}{domain}" + ("" if year == 2020 else "_test")
            write(scores / f"anomaly_score_{file}.csv", [(c[0], c[3]) for c in clips])
            if year == 2020:
                listed += [
                    (part.partition("_")[0],),
                    *((c[0], "original.wav", c[1]) for c in clips),
                ]
                continue
            write(scores / f"decision_result_{file}.csv", [(c[0], c[4]) for c in clips])
            data, domains = truth / "ground_truth_data", truth / "ground_truth_domain"
            write(data / f"ground_truth_{file}.csv", [(c[0], c[1]) for c in clips])
            if year > 2021:
                write(domains / f"ground_truth_{file}.csv", [(c[0], c[2]) for c in clips])
    if year == 2020:
        write(truth / "eval_data_list.csv", listed)
    return truth, scores


def test_2020_by_hand(tmp_path: Path) -> None:
    found = evaluate(*lay_out(tmp_path, 2020), 2020).to_dict()
    assert found == {
        "year": 2020,
        "official_score": None,
        "ci95": None,
        "machines": {
            "fan": {"id_00": {"auc": 10.5 / 16, "pauc": pytest.approx(standardised(0.4 / 16))}}
        },
    }


def test_2021_by_hand(tmp_path: Path) -> None:
    found = evaluate(*lay_out(tmp_path, 2021), 2021)
    official = {
        "auc_source": 3 / 4,
        "pauc_source": standardised(0.2 / 4),
        "auc_target": 1.5 / 4,
        "pauc_target": standardised(0),
    }
    section = found.machines["fan"]["section_00"]
    assert {name: section[name] for name in official} == pytest.approx(official, abs=1e-15)
    assert found.official_score == pytest.approx(4 / sum(1 / x for x in official.values()))
    assert found.ci95 is None


@pytest.mark.parametrize("year", [2022, 2023, 2024, 2025])
def test_2022_on_by_hand(tmp_path: Path, year: int) -> None:
    found = evaluate(*lay_out(tmp_path, year), year)
    areas = {"auc_source": 7 / 8, "auc_target": 3.5 / 8, "pauc": standardised(0.4 / 16)}
    answers = {
        f"{name}_{domain}": value
        for domain, value in (("source", 0.5), ("target", 0.0))
        for name in ("precision", "recall", "f1")
    }
    section = dict(found.machines["fan"]["section_00"])
    assert section == pytest.approx({**areas, "auc": 10.5 / 16, **answers}, abs=1e-15)
    assert found.official_score == pytest.approx(3 / sum(1 / x for x in areas.values()))
    assert found.ci95 is not None
    assert found.n_clips == 8


# What may differ without a difference


def shuffle_rows(truth: Path, scores: Path) -> None:
    for path in [*scores.glob("*.csv"), *truth.glob("*/*.csv")]:
        rows = path.read_text().splitlines(keepends=True)
        random.Random(path.name).shuffle(rows)
        path.write_text("".join(rows))


def omit_test(truth: Path, scores: Path) -> None:
    for path in scores.glob("*_test.csv"):
        path.rename(path.with_name(path.name.replace("_test", "")))


def write_as_on_windows(truth: Path, scores: Path) -> None:
    for path in [*scores.glob("*.csv"), *truth.glob("*/*.csv")]:
        text = path.read_text().replace("\n", "\r\n").replace(",", ", ") + "\r\n"
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())


def add_other_files(truth: Path, scores: Path) -> None:
    write(scores / "result.csv", [("not", "scores")])
    write(scores / "label.meta.yaml", [("submission:",)])
    write(truth / "ground_truth_attributes" / "fan" / "attributes_00.csv", [("wrong", "labels")])


@pytest.mark.parametrize("change", [shuffle_rows, omit_test, write_as_on_windows, add_other_files])
def test_rows_are_found_by_name(tmp_path: Path, change: Callable[[Path, Path], None]) -> None:
    truth, scores = lay_out(tmp_path, 2022)
    before = evaluate(truth, scores, 2022)
    change(truth, scores)
    assert evaluate(truth, scores, 2022).to_dict() == before.to_dict()


def test_without_decisions_there_is_no_precision(tmp_path: Path) -> None:
    truth, scores = lay_out(tmp_path, 2022)
    before = evaluate(truth, scores, 2022)
    for path in scores.glob("decision_result_*"):
        path.unlink()
    found = evaluate(str(truth), str(scores), 2022)
    assert found.official_score == before.official_score
    section = found.machines["fan"]["section_00"]
    assert [n for n, v in section.items() if v is None] == [
        f"{name}_{domain}"
        for domain in ("source", "target")
        for name in ("precision", "recall", "f1")
    ]


def test_machines_of_ones_own_fit_every_year(tmp_path: Path) -> None:
    parts = ("hydraulic_press_section_07",)
    found = evaluate(*lay_out(tmp_path, 2023, *parts), 2024)
    assert list(found.machines) == ["hydraulic_press"]


# Truth in the names of development data


def development_name(year: int, section: str, clip: tuple[str, int, int, float, int]) -> str:
    name, anomaly, target, _, _ = clip
    label = "anomaly" if anomaly else "normal"
    if year == 2020:
        return f"{label}_{section}_0000{name}.wav"
    return f"{section}_{'target' if target else 'source'}_test_{label}_{name}_speed_1.wav"


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2025])
@pytest.mark.parametrize("truth_is", ["recordings", "submission"])
def test_labels_from_file_names(tmp_path: Path, year: int, truth_is: str) -> None:
    wanted = evaluate(*lay_out(tmp_path / "official", year), year)
    section = "id_00" if year == 2020 else "section_00"
    data, scores = tmp_path / "data", tmp_path / "scores"
    for domain in ("_source", "_target") if year == 2021 else ("",):
        clips = [c for c in CLIPS if domain in ("", "_target" if c[2] else "_source")]
        rows = [(development_name(year, section, clip), clip[3]) for clip in clips]
        suffix = "_test" if domain else ""
        write(scores / f"anomaly_score_fan_{section}{domain}{suffix}.csv", rows)
        for name, _ in rows:
            write(data / "fan" / f"{domain}_test".lstrip("_") / name, [])
    found = evaluate(data if truth_is == "recordings" else scores, scores, year)
    areas = [name for name in wanted.measures if "auc" in name]
    assert [found.values(name) for name in areas] == [wanted.values(name) for name in areas]
    assert found.official_score == wanted.official_score


# Bad input: what is changed in a good submission of 2022, and what is said of it


def edit(name: str, old: str, new: str) -> Callable[[Path, Path], None]:
    def change(truth: Path, scores: Path) -> None:
        for path in (scores / name, truth / name):
            if path.exists():
                text = path.read_text()
                assert old in text
                path.write_text(text.replace(old, new))

    return change


def remove(name: str) -> Callable[[Path, Path], None]:
    def change(truth: Path, scores: Path) -> None:
        for path in (scores / name, truth / name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return change


def copy(old: str, new: str) -> Callable[[Path, Path], None]:
    return lambda truth, scores: shutil.copy(scores / old, scores / new) and None


def nest(truth: Path, scores: Path) -> None:
    (scores / "team_1").mkdir()
    for path in scores.glob("*.csv"):
        path.rename(scores / "team_1" / path.name)


SCORE = "anomaly_score_fan_section_00_test.csv"
DECISION = "decision_result_fan_section_00_test.csv"
LABEL = "ground_truth_data/ground_truth_fan_section_00_test.csv"
DOMAIN = "ground_truth_domain/ground_truth_fan_section_00_test.csv"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            edit(SCORE, "0.9", "nan"),
            r"line 4: got 'section_00_0003.wav,nan', wanted .* finite number",
        ),
        (edit(SCORE, "0.9", "inf"), "line 4: .*inf.* finite number"),
        (edit(SCORE, "0.9", "high"), "line 4: .*high.* finite number"),
        (edit(SCORE, "0.9", "0.9,1"), "line 4: .*0.9,1.* wanted a file name and a finite number"),
        (
            edit(SCORE, "section_00_0000.wav,0.1", "file,score"),
            "line 1: got 'file,score'.*no header",
        ),
        (
            edit(SCORE, "section_00_0003.wav,0.9\n", ""),
            r"1 of 8 clips are missing \(section_00_0003",
        ),
        (edit(SCORE, "0003", "0002"), "line 4: section_00_0002.wav is there twice"),
        (
            edit(SCORE, "section_00_0", "section_03_0"),
            r"8 of 8 clips are missing \(.*_0000, .*_0001, .*_0002 and 5 more\); "
            r"the truth knows nothing of 8 clips \(section_03",
        ),
        (remove(SCORE), r"1 of 2 anomaly_score files are missing \(fan_section_00\)"),
        (remove(DECISION), r"1 of 2 decision_result files are missing \(fan_section_00\)"),
        (edit(DECISION, "0003.wav,1", "0003.wav,2"), "line 4: .*wanted a file name and 0 or 1"),
        (edit(DECISION, "section_00_0003.wav,1\n", ""), "1 of 8 clips are missing"),
        (
            copy(SCORE, "anomaly_score_fan_section_02_test.csv"),
            r"knows nothing of 1 .*fan_section_02",
        ),
        (copy(SCORE, "anomaly_score_fan_section_00.csv"), "both of fan_section_00: keep one"),
        (
            copy(SCORE, "anomaly_score_fan.csv"),
            "anomaly_score_fan.csv: unexpected file name; wanted",
        ),
        (copy(SCORE, "anomaly_score_fan_section_00_source_test.csv"), "does not fit 2022"),
        (nest, r"scores holds no anomaly_score_\*\.csv; did you mean .*team_1\?"),
        (edit(LABEL, "0003.wav,1", "0003.wav,yes"), "line 4.*0003.wav,yes"),
        (
            edit(LABEL, "wav,1", "wav,0"),
            "fan section_00 of .*truth: an AUC wants .* and 0 anomalies",
        ),
        (
            edit(DOMAIN, "wav,1", "wav,0"),
            "fan section_00 of .*truth: the target domain has no clips in the truth",
        ),
        (
            edit(DOMAIN, "section_00_0003.wav,0\n", ""),
            "domain of section_00_0003",
        ),
        (
            remove("ground_truth_domain"),
            "ground_truth_domain.* is missing",
        ),
        (
            remove("ground_truth_data"),
            "no truth in .*wanted eval_data_list.csv .*ground_truth_data",
        ),
        (lambda truth, scores: shutil.rmtree(truth), "no folder of truth at"),
        (lambda truth, scores: shutil.rmtree(scores), "no submission folder at"),
        (
            lambda truth, scores: (scores / SCORE).write_bytes(b"\xff\xfe\x00") and None,
            "cannot be read as CSV",
        ),
    ],
)
def test_bad_input(tmp_path: Path, change: Callable[[Path, Path], None], message: str) -> None:
    truth, scores = lay_out(tmp_path, 2022, "fan_section_00", "fan_section_01")
    evaluate(truth, scores, 2022)
    change(truth, scores)
    with pytest.raises(EvaluationError, match=message):
        evaluate(truth, scores, 2022)


@pytest.mark.parametrize(
    ("laid_out", "part", "asked", "message"),
    [
        (2020, "fan_id_00", 2021, "truth .* does not fit 2021: it looks like 2020"),
        (2021, "fan_section_00", 2022, r"looks like 2021 \(it holds fan_section_00_source_test"),
        (2022, "fan_section_03", 2023, "does not fit 2023: it looks like 2022"),
        (2022, "fan_section_00", 2021, "looks like 2022 or 2023 or"),
        (2023, "bandsaw_section_00", 2024, "does not fit 2024: it looks like 2023"),
        (2024, "Scanner_section_00", 2022, "does not fit 2022: it looks like 2024"),
        (2025, "ToyPet_section_00", 2023, "does not fit 2023: it looks like 2025"),
        (2022, "fan_section_07", 2022, "looks like no year that thrum knows"),
        (2022, "fan_section_00", 2019, "no rules for 2019: .* 2020 to 2025"),
    ],
)
def test_wrong_year(tmp_path: Path, laid_out: int, part: str, asked: int, message: str) -> None:
    truth, scores = lay_out(tmp_path, laid_out, part)
    with pytest.raises(EvaluationError, match=message):
        evaluate(truth, scores, asked)


def test_submission_of_another_year(tmp_path: Path) -> None:
    truth, _ = lay_out(tmp_path / "a", 2022)
    _, scores = lay_out(tmp_path / "b", 2021)
    with pytest.raises(EvaluationError, match=r"the submission in .* it looks like 2021"):
        evaluate(truth, scores, 2022)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fan\n", "", "line 1: got .*wanted a machine or 'renamed,original,0|1'"),
        ("id_00_0003", "id_00_0002", "id_00_0002.* twice"),
        ("original.wav,1", "original.wav,anomaly", "line 4: .*anomaly'"),
    ],
)
def test_bad_list_of_2020(tmp_path: Path, old: str, new: str, message: str) -> None:
    truth, scores = lay_out(tmp_path, 2020)
    edit("eval_data_list.csv", old, new)(truth, scores)
    with pytest.raises(EvaluationError, match=message):
        evaluate(truth, scores, 2020)


def test_evaluation_data_does_not_tell_its_labels(tmp_path: Path) -> None:
    _, scores = lay_out(tmp_path, 2022)
    with pytest.raises(EvaluationError, match=r"section_00_0000\.wav does not tell its label"):
        evaluate(scores, scores, 2022)


def test_scores_of_all_machines_are_pooled_for_the_interval(tmp_path: Path) -> None:
    found = evaluate(*lay_out(tmp_path, 2022, "fan_section_00", "slider_section_00"), 2022)
    labels = [clip[1] for clip in CLIPS] * 2
    scores = [clip[3] for clip in CLIPS] * 2
    intervals = [jackknife_interval(labels, scores, max_fpr=max_fpr) for max_fpr in (1.0, 0.1)]
    assert found.ci95 == pytest.approx(arithmetic_mean(intervals), abs=1e-15)
    assert found.n_clips == 16
