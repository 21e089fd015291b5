"""The page of an audit, and the sound in it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from privacy.invented import material
from thrum.embedders.logmel import LogMel
from thrum.privacy.audit import AuditSettings, Finding, audit
from thrum.privacy.audit.auditing import Released
from thrum.privacy.audit.judging import auc, judged, not_measured
from thrum.privacy.audit.material import cells_of
from thrum.privacy.audit.page import mean_leak, write_page
from thrum.privacy.audit.sounding import sound_of
from thrum.privacy.audit.words import between, told
from thrum.privacy.audit.worth import Worth


def test_decoded_sound_has_the_spectrum_that_was_decoded() -> None:
    cells = np.full((12, 128), -60.0)
    cells[:, 30:60] = -25.0
    cells[6:, 80:100] = -30.0

    heard = cells_of(LogMel().frames(torch.from_numpy(sound_of(cells))[None])[0][0].numpy())

    assert heard.shape == (12, 128)
    assert heard[2, 35:55].mean() == pytest.approx(-25, abs=3)
    assert heard[9, 85:95].mean() == pytest.approx(-30, abs=3)
    assert heard[2, 85:95].mean() < -45


@pytest.mark.parametrize(
    ("measure", "value", "words"),
    [
        ("R²", 0.5, "50 % of it; guessing, 0 %"),
        ("AUC", 0.75, "of 100 pairs 75 are told apart; guessing, 10"),
        ("accuracy", 0.58, "58 of 100; guessing, 10"),
        ("TPR at 1 % FPR", 0.2, "20 of 100, with one false in a hundred; guessing, 10"),
    ],
)
def test_figures_are_said_in_words(measure: str, value: float, words: str) -> None:
    assert told(Finding("a", "q", "server", measure, value, None, None, 0.1, 2, "")) == words


def test_the_auc_is_that_of_scikit_learn_with_ties_too() -> None:
    random = np.random.default_rng(0)
    truth, guess = random.random(200) < 0.3, random.integers(0, 9, 200)

    assert auc(truth, guess) == pytest.approx(roc_auc_score(truth, guess), abs=1e-12)
    assert np.isnan(auc(np.ones(3, bool), guess[:3]))


def test_what_was_not_measured_has_no_leak_and_says_why() -> None:
    found = not_measured("speech", "keyword", "no voices")
    one_kind = judged(
        "speech", "presence", np.ones(4, bool), np.arange(4), np.arange(4),
        measure="AUC", metric=auc, chance=0.5, words="",
    )  # fmt: skip

    assert found.leak is None
    assert told(found) == "not measured: no voices"
    assert one_kind.value is None


def test_the_plot_takes_of_each_attack_the_most_that_it_found() -> None:
    found = [
        Finding(attack, "q", "server", "R²", value, None, None, 0.0, 2, "")
        for attack, value in (("reconstruct", 0.9), ("reconstruct", 0.1), ("whitening", 0.5))
    ]
    found.append(not_measured("speech", "keyword", "no voices"))

    assert mean_leak(Released("frames", found, Worth(None, {}, 0), 1.0)) == pytest.approx(0.7)
    assert mean_leak(Released("frames", found[3:], Worth(None, {}, 0), 1.0)) is None


def test_an_interval_is_in_the_unit_of_its_figure() -> None:
    finding = Finding("hidden", "unknown", "server", "R²", -21.2, -28.1, 0.126, 0.0, 2, "")

    assert between(finding) == "0 to 13"
    assert between(replace(finding, low=None)) == ""


def test_under_dp_sgd_no_mean_comes_back_and_the_page_says_how_networks_were_trained(
    tmp_path: Path,
) -> None:
    settings = AuditSettings(
        "invented", "machines", ("frames",), attacks=("whitening",), settings=("dp_epsilon=10",)
    )

    done = audit(replace(material(leaky=True), aside={}), settings, with_worth=False)
    write_page(tmp_path / "audit.html", done)

    assert [one.value for one in done.releases[0].findings] == [None, None]
    page = (tmp_path / "audit.html").read_text()
    assert "dp_epsilon=10" in page
    assert "trained by DP-SGD" in page
    assert "the mean over all sites" not in page


def test_the_page_says_all_that_was_found_and_never_that_it_is_safe(tmp_path: Path) -> None:
    settings = AuditSettings(
        "invented <model>",
        "invented machines",
        ("frames", "clip_mean"),
        attacks=("reconstruct", "attributes", "whitening", "speech"),
    )
    done = audit(replace(material(leaky=True), aside={}), settings, with_worth=False)
    worths = [Worth(0.8, {"fused": 0.9}, 6), Worth(0.8, {"fused": 0.75}, 6)]
    releases = [
        replace(one, worth=worth, decoded=[np.full(16000, 0.1, np.float32)])
        for one, worth in zip(done.releases, worths, strict=True)
    ]
    tone = np.sin(np.arange(16000) / 9).astype(np.float32)
    write_page(
        tmp_path / "audit.html", replace(done, releases=releases, originals=[("fan/id_08", tone)])
    )

    page = (tmp_path / "audit.html").read_text()
    assert "alone 0.800" in page
    assert page.count("<circle") == 2
    assert page.count("<audio") == 3
    assert "invented &lt;model&gt;" in page
    assert "no voices to mix in" in page
    assert re.search(r"Singling out.*Linkability.*Inference", page, re.DOTALL)
    assert "who sees what" in page.lower()
    safe = [page[m.start() - 40 : m.end()] for m in re.finditer(r"\bsafe\b", page)]
    assert safe
    assert all("never says that anything is safe" in one for one in safe)
    assert "http" not in re.sub(r"http-equiv", "", page)  # nothing is fetched
