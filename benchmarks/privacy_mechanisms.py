r"""What each mechanism costs and takes away: the tables of docs/privacy.md.

    python benchmarks/privacy_mechanisms.py worth --shared ../shared --out runs/worth.json
    python benchmarks/privacy_mechanisms.py leaks --shared ../shared --speech WORDS --out runs/leaks.json
    python benchmarks/privacy_mechanisms.py records --out docs/results/privacy.json \
        --measured runs/worth.json runs/leaks.json

Three data sets (`privacy_material`): simulated machines, ToyCar and the recordings of the testbed. *worth*:
AUC alone and together, for each chain and seed. *leaks*: every attack on each chain, on machines that the
attacker has not seen. Of the simulator a seed draws the machines, of the others which are attacked, and
what training and noise draw. What is measured already is not measured again. Voices are those of espeak-ng.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from privacy_material import materials
from thrum import storage
from thrum.embedders.base import EMBEDDERS
from thrum.privacy.audit import AuditSettings, audit
from thrum.privacy.audit.material import MachineKey, Material
from thrum.privacy.audit.worth import METHOD, alone, worth
from thrum.privacy.mechanisms import parse_chain, parse_statistics_chain
from thrum.privacy.mechanisms.audited import RECORD

TOLD = ("spectrum", "detail", "presence", "machine")
ALONE: dict[tuple[Any, ...], dict[MachineKey, float]] = {}
"""What a site reaches by itself, by data, embedder and seed: the same for all chains."""
EMBEDDINGS = (
    "frames",
    "clip_mean",
    "every:8",
    "rotate:SECRET",
    "quantise:4",
    "gaussian:1000,1e-5,clip",
    "clip_mean | gaussian:1000,1e-5,clip",
    "clip_mean | gaussian:100,1e-5,clip",
    "clip_mean | gaussian:10,1e-5,clip",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("worth", "leaks", "records"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", nargs="+", default=["ToyCar", "audio", "simulated"])
    parser.add_argument("--sharing", nargs="+", default=["embeddings"])
    parser.add_argument("--releases", nargs="+", default=list(EMBEDDINGS))
    parser.add_argument("--attacks", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--measured", type=Path, nargs="+", default=[])
    parser.add_argument("--embedders", nargs="+", default=["modulation"])
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "thrum-audit")
    arguments = parser.parse_args()
    if arguments.what == "records":
        storage.write_json(arguments.out, _records(arguments.measured))
        storage.write_json(RECORD, _audited(arguments.measured))
        return
    rows: list[dict[str, Any]] = storage.read_json(arguments.out) if arguments.out.exists() else []
    secret = arguments.cache / "rotation.key"
    arguments.cache.mkdir(parents=True, exist_ok=True)
    secret.write_text("an example of a secret, 32 bytes")
    for seed in range(arguments.seeds):
        for data in arguments.data:
            cells = [
                (embedder, sharing, text)
                for embedder in arguments.embedders
                for sharing in arguments.sharing
                for text in arguments.releases
            ]
            names = ("data", "embedder", "sharing", "release", "seed")
            keys = [dict(zip(names, (data, *cell, seed), strict=True)) for cell in cells]
            missing = [key for key in keys if not _measured(rows, key)]
            if not missing:
                continue
            made = materials(
                data,
                sorted({key["embedder"] for key in missing}),
                shared=arguments.shared,
                speech=arguments.speech,
                cache=arguments.cache,
                seed=seed,
            )
            for key in missing:
                begun = time.process_time()
                chain = key["release"].replace("SECRET", str(secret))
                if arguments.what == "worth":
                    found = _worth(made[key["embedder"]], chain, key)
                else:
                    found = _leaks(made[key["embedder"]], chain, key, arguments.attacks)
                rows.append({**key, **found})
                storage.write_json(arguments.out, rows)
                print(*key.values(), f"{time.process_time() - begun:.0f} s", flush=True)


def _measured(rows: list[dict[str, Any]], key: dict[str, Any]) -> bool:
    return any(all(row.get(name) == value for name, value in key.items()) for row in rows)


def _records(paths: list[Path]) -> list[dict[str, Any]]:
    """Return what was measured as docs/generate_results.py has it: means over seeds, in percent."""
    rows = [row for path in paths for row in storage.read_json(path)]
    values: dict[tuple[str, str], dict[int, float]] = {}
    chances: dict[str, float] = {}
    for row in rows:
        name, sharing = _written(row["release"]), row["sharing"]
        if "findings" in row:
            for found in row["findings"]:
                if found["value"] is None:
                    continue
                where = "" if row["data"] == "simulated" else f" of {row['data']}"
                column = f"{sharing} leak{where}: {found['quantity']}, {found['measure']}"
                lowest = 0.0 if found["measure"] == "R²" else -np.inf
                label = name if row["embedder"] == "modulation" else f"{name} ({row['embedder']})"
                value = 100 * max(found["value"], lowest)
                values.setdefault((label, column), {})[row["seed"]] = value
                chances[column] = 100 * found["chance"]
        else:
            column = f"{sharing} AUC: {row['data']}"
            alone = values.setdefault(("alone", f"{column}, {METHOD[sharing]}"), {})
            alone[row["seed"]] = 100 * row["alone"]
            for method, auc in row["together"].items():
                values.setdefault((name, f"{column}, {method}"), {})[row["seed"]] = 100 * auc
    for column, chance in chances.items():
        values["chance", column] = {0: chance}
    return [
        {
            "table": "privacy",
            "row": row,
            "column": column,
            "mean": float(np.mean(list(own.values()))),
            "deviation": float(np.std(list(own.values()))) if len(own) > 1 else None,
            "seeds": sorted(own),
            "command": f"python benchmarks/privacy_mechanisms.py "
            f"{'leaks' if ' leak' in column else 'worth'} --sharing {column.split()[0]} "
            f"--shared ../shared",
            "shortened": "",
        }
        for (row, column), own in sorted(values.items(), key=lambda one: _order(one[0][0]))
    ]


def _audited(paths: list[Path]) -> dict[str, Any]:
    """Return what was read off each embedder and chain, for what a round tells its reader."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in (row for path in paths for row in storage.read_json(path)):
        if "findings" not in row or (row["data"], row["sharing"]) != ("simulated", "embeddings"):
            continue
        if "SECRET" in row["release"]:
            continue
        kind = EMBEDDERS.entries[row["embedder"]].rpartition(":")[2]
        own = found.setdefault(kind, {}).setdefault(parse_chain(row["release"]).told, {})
        for one in row["findings"]:
            if one["value"] is not None and one["quantity"] in TOLD:
                own.setdefault(one["quantity"], []).append(one["value"])
    return {
        kind: {
            chain: {name: round(float(np.mean(values)), 4) for name, values in own.items()}
            for chain, own in chains.items()
            if len(own) == len(TOLD)
        }
        for kind, chains in found.items()
    }


def _written(release: str) -> str:
    return " + ".join(part.strip() for part in release.split("|"))  # a bar would end a table's cell


def _order(name: str) -> int:
    known = ["chance", "alone", *map(_written, EMBEDDINGS)]
    return known.index(name) if name in known else len(known)


def _worth(material: Material, chain: str, key: dict[str, Any]) -> dict[str, Any]:
    noise = f"site {key['seed']}".encode()
    released = (
        material.with_statistics(parse_statistics_chain(chain), key=noise)
        if key["sharing"] == "statistics"
        else material.released(parse_chain(chain), key=noise)
    )
    own = (key["data"], key["embedder"], key["seed"])
    if own not in ALONE:
        ALONE[own] = dict(alone(material))
    found = worth(released, alone=ALONE[own], sharing=key["sharing"], seed=key["seed"])
    return {"alone": found.alone, "together": dict(found.together), "machines": found.machines}


def _leaks(
    material: Material, chain: str, key: dict[str, Any], attacks: list[str]
) -> dict[str, Any]:
    settings = AuditSettings(
        key["embedder"], "", (chain,), sharing=key["sharing"], seed=key["seed"]
    )
    done = audit(material, replace(settings, attacks=tuple(attacks)), with_worth=False)
    return {"findings": done.to_json()["releases"][0]["findings"]}


if __name__ == "__main__":
    main()
