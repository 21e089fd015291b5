"""What is damaged, killed or full does not decide a round; see also ``benchmarks/broken_rounds.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import machines
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.federation.outcome import Outcome
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.systems.embedding_sharing import preset_config
from thrum.types import group_by_machine

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "broken_rounds.py"


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Site]:
    data = open_dataset(machines.write_arrays(tmp_path / "data", machines=3, clips=20))
    found = {}
    for number, clips in enumerate(group_by_machine(data).values()):
        name = f"site{number}"
        found[name] = Site(name, clips, create_embedder("precomputed"), tmp_path / name)
        found[name].prepare()
    return found


def collaborate(sites: dict[str, Site], folder: Path) -> Outcome:
    return Server(folder, config=preset_config("compact"), device="cpu").collaborate(sites)


def swap_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["statistics.json", "statistics.safetensors"])
def test_damaged_statistics_of_a_site_are_those_that_it_sends_next(
    tmp_path: Path, sites: dict[str, Site], file: str
) -> None:
    """They stopped every round; where the site is away its part is missing, and that is said."""
    folder = tmp_path / "server"
    collaborate(sites, folder)
    before = {name: site.score()[0].scores for name, site in sites.items()}
    swap_a_bit(folder / "statistics" / "site1" / file)
    outcome = collaborate(sites, folder)
    assert "the statistics of site 'site1' were damaged" in outcome.notes[0]
    for name, site in sites.items():
        now = site.score()[0].scores
        assert now.keys() == before[name].keys()
        assert all(np.array_equal(now[key].test, before[name][key].test) for key in now)

    swap_a_bit(folder / "statistics" / "site1" / file)
    away = {name: site for name, site in sites.items() if name != "site1"}
    assert "the statistics of site 'site1' were damaged" in collaborate(away, folder).notes[0]
    assert not (folder / "statistics" / "site1").exists()


@pytest.mark.parametrize("name", ["last.json", "statistics/embedder.json"])
def test_damaged_notes_of_a_server_end_no_round(
    tmp_path: Path, sites: dict[str, Site], name: str
) -> None:
    folder = tmp_path / "server"
    collaborate(sites, folder)
    swap_a_bit(folder / name)
    assert "damaged on" in " ".join(collaborate(sites, folder).notes)
    assert not [note for note in collaborate(sites, folder).notes if "damaged" in note]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_round_of_each_kind_that_something_breaks_in(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(SCRIPT), "--rounds", "22", "--seed", "7", "--json", str(report)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = json.loads(report.read_text())["kinds"]
    assert len(kinds) == 22
    for kind, found in kinds.items():
        assert found["same_bytes"] == found["rounds"] == 1, kind
        assert found["unexpected"] == found["left_running"] == found["sent_twice"] == 0, kind
    assert sum(found["disturbances"] for found in kinds.values()) >= 18
