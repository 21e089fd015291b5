"""Make of what a benchmark wrote with ``--json`` the records that docs/results keeps.

    python benchmarks/records.py docs/results/NAME.json --command 'python benchmarks/…' RUN.json …

A run is rows with ``method``, ``seed`` and measures from 0 to 1, perhaps one a machine ID, perhaps under
the name of their dataset. A record is one method's mean in percent, over machine IDs and then over seeds,
with the population standard deviation over seeds. ``--shortened`` says in what the runs are less than the
published experiment.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thrum import storage

MEASURES = {
    "auc": "AUC",
    "pauc": "pAUC",
    "auc_source": "source AUC",
    "auc_target": "target AUC",
    "official": "official",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--command", required=True)
    parser.add_argument("--shortened", default="")
    arguments = parser.parse_args()
    rows = [row for path in arguments.runs for row in rows_in(json.loads(path.read_text()), "")]
    storage.write_json(
        arguments.out,
        records(
            rows,
            table=arguments.out.stem,
            command=arguments.command,
            shortened=arguments.shortened,
        ),
    )


def rows_in(content: Any, dataset: str) -> Iterator[dict[str, Any]]:
    """Yield every row in a run's JSON, with the name that it stands under as its dataset."""
    if isinstance(content, list):
        for each in content:
            yield from rows_in(each, dataset)
    elif isinstance(content, dict) and {"method", "seed"} <= content.keys():
        yield {"dataset": dataset, **content}
    elif isinstance(content, dict):
        for name, each in content.items():
            yield from rows_in(each, "" if name == "data" else name)


def records(rows: list[dict[str, Any]], *, table: str, **told: str) -> list[dict[str, Any]]:
    """Return one record for each method, dataset and measure."""
    groups: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for row in rows:
        for measure in MEASURES:
            if row.get(measure) is not None:
                by_seed = groups.setdefault((row["method"], row["dataset"], measure), {})
                by_seed.setdefault(row["seed"], []).append(100 * row[measure])
    found = []
    for (method, dataset, measure), by_seed in groups.items():
        means = [statistics.fmean(values) for values in by_seed.values()]
        column = f"{dataset}: {MEASURES[measure]}" if dataset else MEASURES[measure]
        found.append(
            {
                "table": table,
                "row": method,
                "column": column,
                "dataset": dataset,
                "metric": measure,
                "mean": statistics.fmean(means),
                "deviation": statistics.pstdev(means) if len(means) > 1 else None,
                "seeds": sorted(by_seed),
                **told,
            }
        )
    return found


if __name__ == "__main__":
    main()
