from __future__ import annotations

import importlib

import pytest

import thrum
from thrum.datasets.base import DATASETS
from thrum.detectors.base import DETECTORS
from thrum.embedders.base import EMBEDDERS
from thrum.errors import UnknownNameError
from thrum.registry import Registry
from thrum.systems.base import SYSTEMS


@pytest.mark.parametrize(
    "registry", [DATASETS, DETECTORS, EMBEDDERS, SYSTEMS], ids=lambda r: r.kind
)
def test_every_registered_name_loads(registry: Registry[object]) -> None:
    for name in registry:
        assert registry.load(name).__name__ == registry.entries[name].partition(":")[2]


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(
        UnknownNameError, match="no detector is called 'kn'. Did you mean 'knn'"
    ) as error:
        DETECTORS.load("kn")
    assert error.value.exit_code == 2


def test_a_class_of_ones_own_needs_no_registration() -> None:
    assert DETECTORS.load("collections:OrderedDict").__name__ == "OrderedDict"


@pytest.mark.parametrize("name", ["collections:OrderedDict", "kn", "", None, 7, ["knn"]])
def test_only_what_is_registered_is_taken_from_a_file(name: object) -> None:
    DETECTORS.require("knn")
    with pytest.raises(UnknownNameError, match="files and messages may name registered ones only"):
        DETECTORS.require(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [("no_such_module:Thing", "cannot import"), ("collections:Nothing", "has no 'Nothing'")],
)
def test_a_class_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        DETECTORS.load(name)


def test_every_public_verb_resolves() -> None:
    for name in thrum.__all__:
        assert getattr(thrum, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        importlib.import_module("thrum").nothing  # noqa: B018
