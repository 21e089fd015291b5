"""Shared by all tests: one torch thread, the real test data where it is there."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def few_files() -> Iterator[int]:
    """How many more files than now may be open while the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = 40
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(more)]
    for each in opened:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 1, hard))
    yield more
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference outputs beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data at {SHARED}")
    return SHARED
