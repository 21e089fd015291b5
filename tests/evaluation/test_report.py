from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import invented_report as invented
import numpy as np
import pytest

from thrum.errors import EvaluationError
from thrum.evaluation import findings
from thrum.evaluation.listening import Recording
from thrum.evaluation.report import EmbeddingMaps, Report, write_report
from thrum.evaluation.table import results_of
from thrum.types import Clip, Scores

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """A page as elements in order, and the text of each kind of element; refuses unclosed elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str = "body") -> str:
        return re.sub(r"\s+", " ", "".join(self.texts.get(tag, [])))


def short_sound(clip: Clip) -> Recording:
    whole = invented.invented_sound(clip)
    return Recording(whole.audio[:16000], whole.sample_rate)


def small_report(machines: list[tuple[str, str]] | None = None, **changes: object) -> Report:
    keys = machines or [("fan", "id_00"), ("pump", "id_04"), ("valve", "id_00")]
    settings = {"n_train": 9, "n_normal": 8, "n_anomaly": 7, "sound": short_sound} | changes
    return invented.invented_report(keys, **settings)  # type: ignore[arg-type]


def written(folder: Path, report: Report) -> tuple[Page, dict]:
    write_report(folder / "report.html", report)
    return Page(folder / "report.html"), json.loads((folder / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def example() -> Report:
    return small_report()


@pytest.fixture(scope="module")
def page_and_twin(example: Report, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, dict]:
    return written(tmp_path_factory.mktemp("report"), example)


@pytest.fixture(scope="module")
def page(page_and_twin: tuple[Page, dict]) -> Page:
    return page_and_twin[0]


@pytest.fixture(scope="module")
def twin(page_and_twin: tuple[Page, dict]) -> dict:
    return page_and_twin[1]


def with_scores(report: Report, **columns: np.ndarray) -> Report:
    scores = report.scores
    return replace(
        report, scores=Scores(scores.clips, {**scores.columns, **columns}, scores.selected)
    )


def test_the_page_asks_for_nothing_from_outside(page: Page) -> None:
    assert re.findall(r"https?:|[\"'(]//|@import|url\(", page.source) == []
    for _, attributes in page.elements:
        for name in ("href", "src", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")) or value == "report.json"
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    assert page.all("script") == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_everything_that_is_seen_has_words(page: Page) -> None:
    pictures = page.all("svg")
    assert len(pictures) > 40
    for picture in pictures:
        assert picture.get("aria-hidden") == "true" or (
            picture["role"] == "img" and len(picture["aria-label"]) > 10
        )
    assert all(one["aria-label"] for one in page.all("audio"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(one["scope"] in ("row", "col", "colgroup") for one in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"] == "report.json" or link["href"][1:] in ids
    assert next(iter(page.all("html")))["lang"] == "en"


def test_the_twin_holds_what_results_csv_holds(example: Report, twin: dict) -> None:
    for row, result in zip(twin["results"], results_of(example.scores, seed=7), strict=True):
        assert row == vars(result)
    means = {row["method"]: row["auc"] for row in twin["summary"]["means"]}
    fused = [row["auc"] for row in twin["results"] if row["method"] == "fused" and row["auc"]]
    assert means["fused"] == pytest.approx(np.mean(fused))
    assert twin["summary"]["gain"] == pytest.approx(means["fused"] - means["local"])


def test_the_twin_holds_the_numbers_of_every_figure(example: Report, twin: dict) -> None:
    for machine in twin["machines"]:
        key = (machine["machine"], machine["machine_id"])
        rows = [i for i, clip in enumerate(example.scores.clips) if clip.machine_key == key]
        assert machine["clips"] == [example.scores.clips[i].name for i in rows]
        for method, of in machine["methods"].items():
            assert of["scores"] == example.scores.columns[method][rows].tolist()
            training = np.array(of["training_scores"])
            assert (of["centre"], of["scale"]) == pytest.approx((training.mean(), training.std()))
            counts = of["histogram"]["counts"]
            assert {kind: sum(some) for kind, some in counts.items()} == {
                kind: machine["labels"].count(kind) for kind in set(machine["labels"])
            }
            if machine["n_anomaly"]:
                x, y = np.array(of["roc"]).T
                auc = next(
                    row["auc"]
                    for row in twin["results"]
                    if (row["machine"], row["machine_id"], row["method"]) == (*key, method)
                )
                assert np.trapezoid(y, x) == pytest.approx(auc, abs=1e-4)
    n_clips = len(example.maps.clips)
    assert len(twin["maps"]["clips"]) == len(twin["maps"]["kinds"]) == n_clips
    assert all(np.shape(one["points"]) == (n_clips, 2) for one in twin["maps"]["stages"].values())
    assert sum(row["n_bytes"] for row in twin["departures"]) == sum(
        row.n_bytes for row in example.departures
    )
    assert twin["settings"] == example.settings
    assert twin["versions"] == example.versions


def test_the_page_says_what_the_twin_says(page: Page, twin: dict) -> None:
    body = page.text()
    for row in twin["results"]:
        if row["auc"] is not None:
            assert f"AUC {row['auc']:.3f} · pAUC {row['pauc']:.3f}" in body
    for row in twin["summary"]["means"]:
        assert f"{row['auc']:.3f}" in body
    assert f"{100 * twin['summary']['id_accuracy']:.1f} % of normal test clips" in body
    assert twin["given_away"][1:] in body
    assert "9.8 MB in 15 messages" in body
    assert "2026-01-05" in body
    points = len(twin["maps"]["kinds"]) - twin["maps"]["kinds"].count("anomaly")
    assert len(page.all("circle")) == 2 * points + 2  # two maps and the key


def test_the_same_scores_are_drawn_once(page: Page) -> None:
    drawn = [one["aria-label"] for one in page.all("svg") if "aria-label" in one]
    assert sum("Histogram of Local, whitened" in label for label in drawn) == 3
    assert sum("Histogram of Pool" in label for label in drawn) == 0
    assert page.text().count("Pool scores are those of local, whitened, clip by clip.") == 3


def test_the_five_strangest_clips_and_a_typical_one_are_shown(
    example: Report, page: Page, twin: dict
) -> None:
    for machine in twin["machines"]:
        fused = np.array(machine["methods"]["fused"]["scores"])
        strangest = [clip["score"] for clip in machine["shown"] if not clip["typical"]]
        assert strangest == sorted(fused.tolist(), reverse=True)[:5]
        (typical,) = [clip for clip in machine["shown"] if clip["typical"]]
        normal = np.sort(fused[np.array(machine["labels"]) == "normal"])
        lower = normal[: len(normal) // 2 + 1]
        assert typical["score"] == lower[~np.isin(lower, strangest)].max()
        for clip in machine["shown"]:
            assert example.scores.clips[clip["row"]].name == clip["name"]
            assert clip["alarm"] == (clip["score"] >= 1.7)
            assert clip["name"] in page.text()
    shown = sum(len(machine["shown"]) for machine in twin["machines"])
    assert len(page.all("audio")) == len(page.all("image")) == shown == 18
    assert all(one["src"].startswith("data:audio/flac;base64,") for one in page.all("audio"))


def test_machines_without_anomalies_are_listed_as_such(page: Page, twin: dict) -> None:
    assert "valve id_00 (9 training, 8 normal, 0 anomalous)" in page.text().replace("\xa0", " ")
    row = next(row for row in twin["results"] if row["machine"] == "valve")
    assert (row["auc"], row["pauc"]) == (None, None)
    assert twin["summary"]["n_with_auc"] == 2
    labels = [one["aria-label"] or "" for one in page.all("svg") if "aria-label" in one]
    assert not any(label.startswith("ROC curves of valve") for label in labels)
    assert any(label.startswith("Histogram of Fused scores of valve id_00: 8") for label in labels)


def test_the_same_report_is_the_same_page(example: Report, page: Page, tmp_path: Path) -> None:
    assert written(tmp_path, example)[0].source == page.source


HOSTILE = "<script>alert('x')</script>\"&{{ 7 * 7 }}"


def test_names_cannot_break_out(tmp_path: Path) -> None:
    report = small_report(
        [(HOSTILE, HOSTILE), ("fan", "id_00")],
        title=HOSTILE,
        facts={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        created=HOSTILE,
        departures=(),
    )
    clips = [replace(clip, name=f"{HOSTILE} {i}") for i, clip in enumerate(report.scores.clips)]
    column = report.scores.columns["fused"]
    training = report.training_scores
    report = replace(
        report,
        scores=Scores(clips, {HOSTILE: column}, HOSTILE),
        training_scores=Scores(training.clips, {HOSTILE: training.columns["fused"]}, HOSTILE),
        baseline=HOSTILE,
    )
    page, twin = written(tmp_path, report)
    assert page.all("script") == []
    assert page.text("h1") == HOSTILE
    assert f"{HOSTILE} {HOSTILE}" in page.text("h3")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert twin["machines"][0]["machine"] == HOSTILE


def test_one_machine_without_anything_else(tmp_path: Path) -> None:
    clips = invented.invented_clips("fan", "id_00", n_train=0, n_normal=6, n_anomaly=6)
    scores = Scores(clips, {"knn": np.arange(12.0)}, "knn")
    page, twin = written(tmp_path, Report(title="One fan", scores=scores, seed=0))
    assert "1.000 mean AUC of 1 machine, knn" in page.text()
    assert twin["machines"][0]["methods"]["knn"]["unit"] == "score"
    assert (twin["maps"], twin["summary"]["gain"], twin["summary"]["id_accuracy"]) == (None,) * 3
    assert page.all("audio") == page.all("image") == []


def test_no_machine_has_an_auc(tmp_path: Path) -> None:
    report = small_report([("valve", "id_00")], maps=None, sound=None)
    page, twin = written(tmp_path, report)
    assert "no AUC can be given" in page.text()
    assert twin["summary"]["gain"] is None


def test_a_machine_that_only_trained_is_listed(tmp_path: Path) -> None:
    report = small_report(maps=None, sound=None)
    kept = [i for i, clip in enumerate(report.scores.clips) if clip.machine != "pump"]
    clips = [report.scores.clips[i] for i in kept]
    columns = {name: column[kept] for name, column in report.scores.columns.items()}
    page, twin = written(tmp_path, replace(report, scores=Scores(clips, columns, "fused")))
    assert "pump id_04 (9 training, 0 normal, 0 anomalous)" in page.text().replace("\xa0", " ")
    pump = twin["machines"][1]
    assert (pump["clips"], pump["shown"], pump["methods"]["fused"]["histogram"]) == ([], [], None)


def test_equal_scores_are_chance(tmp_path: Path) -> None:
    report = small_report(maps=None, sound=None, without_anomalies=())
    same = np.full(len(report.scores.clips), 0.25)
    training = report.training_scores
    constant = {name: np.full(len(training.clips), 0.25) for name in training.columns}
    report = with_scores(
        replace(report, training_scores=Scores(training.clips, constant, "fused")), fused=same
    )
    page, twin = written(tmp_path, report)
    fused = [row for row in twin["results"] if row["method"] == "fused"]
    assert {(row["auc"], row["pauc"]) for row in fused} == {(0.5, 0.5)}
    assert twin["machines"][0]["methods"]["fused"]["roc"] == [[0, 0], [1, 1]]
    assert "0.500 mean AUC" in page.text()


def test_bars_below_chance_reach_to_the_left(tmp_path: Path) -> None:
    report = small_report([("fan", "id_00")], maps=None, sound=None, thresholds={})
    upside_down = np.array([clip.label == "normal" for clip in report.scores.clips], dtype=float)
    page, _ = written(tmp_path, with_scores(report, fused=upside_down))
    assert "0.000 mean AUC" in page.text()
    bar = next(one for one in page.all("rect") if one.get("class") == "bar of-fused")
    assert (bar["x"], bar["width"]) == ("0.00%", "43.00%")


def test_who_loses_is_named(tmp_path: Path) -> None:
    report = small_report(maps=None, sound=None)
    fused = report.scores.columns["fused"].copy()
    is_pump = np.array([clip.machine == "pump" for clip in report.scores.clips])
    fused[is_pump] *= -1
    page, twin = written(tmp_path, with_scores(report, fused=fused))
    (worse,) = twin["summary"]["worse"]
    assert (worse["machine"], worse["machine_id"]) == ("pump", "id_04")
    assert f"pump id_04 (from {worse['before']:.3f} to {worse['after']:.3f})" in page.text()


def test_a_threshold_is_drawn_wherever_it_lies(tmp_path: Path) -> None:
    for threshold in (-80.0, 1.7, 900.0):
        report = small_report(maps=None, sound=None, thresholds={("fan", "id_00"): threshold})
        page, twin = written(tmp_path, report)
        histogram = twin["machines"][0]["methods"]["fused"]["histogram"]
        assert (
            histogram["edges"][0] - 1e-6 <= histogram["threshold"] <= histogram["edges"][-1] + 1e-6
        )
        assert [one["class"] for one in page.all("line")].count("mark") == 1


def test_clips_without_labels_are_shown_and_not_counted(tmp_path: Path) -> None:
    report = small_report(maps=None, sound=None)
    clips = [replace(clip, label=None) for clip in report.scores.clips]
    page, twin = written(
        tmp_path, replace(report, scores=Scores(clips, report.scores.columns, "fused"))
    )
    fan = twin["machines"][0]
    assert (fan["n_unlabelled"], fan["n_normal"], fan["n_anomaly"]) == (15, 0, 0)
    assert "15 unlabelled" in page.text()
    assert [clip["typical"] for clip in fan["shown"]] == [False] * 5 + [True]


def test_features_are_seen_and_not_heard(tmp_path: Path) -> None:
    page, _ = written(tmp_path, small_report(maps=None, sound=invented.invented_features))
    assert len(page.all("image")) == 18
    assert page.all("audio") == []
    assert "mel bands" in page.text()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(example: Report, value: float) -> None:
    for kind, scores in (("test", example.scores), ("training", example.training_scores)):
        spoilt = scores.columns["local"].copy()
        spoilt[10] = value
        bad = Scores(scores.clips, {**scores.columns, "local": spoilt}, "fused")
        clip = scores.clips[10]
        message = rf"1 {kind} scores of 'local' .* {clip.name} \({clip.machine} {clip.machine_id}\)"
        with pytest.raises(EvaluationError, match=message):
            replace(example, **{"scores" if kind == "test" else "training_scores": bad})


def test_what_does_not_fit_is_refused(example: Report, tmp_path: Path) -> None:
    training, maps = example.training_scores, example.maps
    short = {name: one[:-1] for name, one in maps.stages.items()}
    stranger = replace(maps.clips[0], machine="crane")
    cases: list[tuple[str, dict[str, object]]] = [
        ("at least one test clip", {"scores": Scores([], {"fused": np.empty(0)}, "fused")}),
        ("baseline 'locl'", {"baseline": "locl"}),
        (
            "lack scores of local, local_whitened, ",
            {
                "training_scores": Scores(
                    training.clips, {"fused": training.columns["fused"]}, "fused"
                )
            },
        ),
        ("threshold of fan id_00 is nan", {"thresholds": {("fan", "id_00"): float("nan")}}),
        ("wanted", {"maps": EmbeddingMaps(maps.clips, short)}),
        ("crane id_00", {"maps": EmbeddingMaps([stranger, *maps.clips[1:]], maps.stages)}),
        ("NaN", {"maps": EmbeddingMaps(maps.clips, {"x": np.full((len(maps.clips), 3), np.nan)})}),
    ]
    for message, change in cases:
        with pytest.raises(EvaluationError, match=message):
            replace(example, **change)  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match=r"\.html"):
        write_report(tmp_path / "report.pdf", example)


def test_many_clips_are_thinned_on_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_MAP_POINTS", 40)
    page, twin = written(tmp_path, small_report(sound=None))
    assert twin["maps"]["n_clips"] == 65
    assert len(twin["maps"]["clips"]) == len(twin["maps"]["kinds"]) == 40
    assert "40 of 65 clips are shown" in page.text()


@pytest.mark.slow
def test_a_hundred_machines_stay_small(tmp_path: Path) -> None:
    keys = [(name, f"id_{number:02d}") for name in ("fan", "pump") for number in range(50)]
    page, twin = written(tmp_path, invented.invented_report(keys))
    assert len(page.source) < 15e6
    assert len(twin["machines"]) == 100
    assert len(page.all("image")) == 600
    heard = [one["aria-label"] for one in page.all("audio")]
    assert len(heard) > 40


def test_what_thresholds_decide_is_shown_and_counted_right(tmp_path: Path) -> None:
    key = ("fan", "id_00")
    report = small_report([key], maps=None, sound=None)
    scores = report.scores.columns[report.scores.selected]
    anomalous = np.array([clip.label == "anomaly" for clip in report.scores.clips])
    middle = float(np.median(scores))
    ways = {"median": {key: middle}, "of another": {("fan", "id_07"): middle}}
    page, twin = written(tmp_path, replace(report, calibrations=ways))
    (row,) = twin["machines"][0]["decisions"]
    alarmed = scores >= middle
    assert row["recall"] == pytest.approx(alarmed[anomalous].mean())
    assert row["precision"] == pytest.approx(anomalous[alarmed].mean())
    assert row["false_alarm_rate"] == pytest.approx(alarmed[~anomalous].mean())
    assert "What an alarm from a threshold finds" in page.text()
