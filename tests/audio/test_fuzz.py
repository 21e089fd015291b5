"""Files with changed heads are read whole, or named: never shortened in silence, never another error."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import broken
import pytest

pytestmark = pytest.mark.filterwarnings("default")


def check(folder: Path, name: str, *, count: int, seed: int) -> None:
    found = Counter(how for _, how in broken.outcomes(folder, name, count=count, seed=seed))
    assert set(found) <= {"refused", "whole", "said"}, found
    assert found["refused"]
    assert sum(found.values()) == count


@pytest.mark.parametrize("name", broken.FORMATS)
def test_a_few_changed_files(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, count=40, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", broken.FORMATS)
def test_many_changed_files(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, count=-(-100_000 // len(broken.FORMATS)), seed=1)
