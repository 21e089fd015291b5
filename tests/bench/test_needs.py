"""What a table would need is reckoned from what a clip costs."""

from __future__ import annotations

import pytest

from thrum.bench.needs import Costs, need_of, processors, reckoned, told
from thrum.bench.sources import Source
from thrum.bench.tables import Column, Run, Table


def table_of(**runs: Run) -> Table:
    source = Source(
        "recordings",
        fetch="dcase2020 --parts dev",
        train_clips=3600,
        test_clips=1800,
        clip_seconds=20,
    )
    return Table("T", {"a": source}, (), (Column("mean", "a"),), runs=runs, seeds=2)


def cost(train: float, test: float) -> dict[str, object]:
    return {"train_seconds": train, "test_seconds": test, "processor": "a core"}


def test_hours_are_clips_times_their_cost_over_seeds_and_by_device() -> None:
    measured: Costs = {"knn": {"cpu": cost(1.0, 0.5)}, "vae": {"cuda": cost(0.1, 0.0)}}
    need = need_of(table_of(knn=Run("knn"), vae=Run("vae", seeds=1)), measured)
    # clips of 20 s cost twice what those of 10 s do: 2 seeds * 2 * (3600 * 1 + 1800 * 0.5) s
    assert need.hours["cpu"].hours == pytest.approx(5.0)
    assert need.hours["cpu"].unmeasured == ("vae",)
    assert need.hours["cuda"].hours == pytest.approx(0.2)
    assert need.hours["cuda"].unmeasured == ("knn",)
    assert need.cells == 3
    assert need.disk_bytes == 5400 * 20 * 16000 * 2
    assert told(need.hours["cpu"]) == "5; not measured: vae"
    assert processors(measured) == {"cpu": ["a core"], "cuda": ["a core"]}


def test_an_ensemble_costs_what_its_members_cost() -> None:
    members: Costs = {
        f"outlier-flow variant={name}": {"cpu": cost(1.0, 0.0)}
        for name in ("OE-DFlow", "SerialOE-DFlow")
    }
    table = table_of(ensemble=Run("outlier-flow", {"variant": "submission-2"}))
    assert need_of(table, members).hours["cpu"].hours == pytest.approx(8.0)
    members = {"outlier-flow variant=OE-DFlow": {"cpu": cost(1.0, 0.0)}}
    assert told(need_of(table, members).hours["cpu"]) == "not measured"


def test_costs_that_no_command_measured_are_named() -> None:
    by_hand = {**cost(1.0, 0.0), "reckoned": "by hand"}
    assert reckoned({"vae": {"cpu": cost(1.0, 0.0)}, "knn": {"cpu": by_hand}}) == {"knn": "by hand"}
