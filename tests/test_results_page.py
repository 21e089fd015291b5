"""docs/results.md is what docs/generate_results.py makes of the committed records."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return loaded(DOCS / "generate_results.py")


@pytest.mark.skipif(
    not (DOCS / "results" / "testbed.json").exists(),
    reason="nothing was measured yet: make results",
)
def test_the_page_is_made_of_the_records(generator: ModuleType) -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert page == generator.rendered(), "docs/results.md is out of date: make results"


@pytest.mark.skipif(
    not (DOCS / "results" / "few-clips.json").exists(),
    reason="nothing was measured yet: make results",
)
def test_the_curves_are_drawn_from_the_records(generator: ModuleType) -> None:
    drawn = generator.pictures()
    assert drawn
    for path, picture in drawn.items():
        assert path.read_text(encoding="utf-8") == picture, f"{path} is out of date: make results"


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("*.json")), ids=lambda p: p.stem)
def test_a_record_says_how_it_was_measured(path: Path) -> None:
    for one in json.loads(path.read_text(encoding="utf-8")):
        assert one["command"].startswith(("thrum bench ", "python benchmarks/"))
        if one["mean"] is not None:
            assert one["seeds"]


def test_a_figure_of_the_page_is_that_of_the_record(generator: ModuleType) -> None:
    one = {"mean": 91.366, "deviation": 0.26, "shortened": ""}
    assert generator.figure(one) == "91.4 ± 0.3"
    assert generator.figure({**one, "deviation": 0.0}) == "91.4"
    assert generator.figure(None) == "–"
    assert generator.markdown([["a", "b"], ["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"
