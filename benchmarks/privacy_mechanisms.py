r"""What each mechanism costs and takes away: the tables of docs/privacy.md.

    python benchmarks/privacy_mechanisms.py worth --shared ../shared --out runs/worth.json
    python benchmarks/privacy_mechanisms.py leaks --shared ../shared --speech WORDS --out runs/leaks.json
    python benchmarks/privacy_mechanisms.py records --out docs/results/privacy.json \
        --measured runs/worth.json runs/leaks.json

Three data sets by `modulation`: simulated machines, ToyCar (from its stored log-mel) and the recordings of
the testbed. *worth*: AUC alone and together, for each chain and seed. *leaks*: every attack on each chain, on
simulated machines that the attacker has not seen. Of the simulator a seed draws the machines, of the others
what training and noise draw. What is measured already is not measured again.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thrum import storage
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.embedders.base import EMBEDDERS
from thrum.embedders.modulation import Modulation
from thrum.privacy.audit import AuditSettings, audit
from thrum.privacy.audit.asides import asides
from thrum.privacy.audit.material import Material, cells_of
from thrum.privacy.audit.recorded import recorded
from thrum.privacy.audit.simulated import Simulation, simulated
from thrum.privacy.audit.voices import voices
from thrum.privacy.audit.worth import METHOD, worth
from thrum.privacy.mechanisms import parse_chain, parse_statistics_chain
from thrum.privacy.mechanisms.audited import RECORD

TOLD = ("spectrum", "detail", "presence", "machine")
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
    parser.add_argument("--embedder", default="modulation")
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
            material = _material(data, arguments, seed)
            for sharing in arguments.sharing:
                for text in arguments.releases:
                    key = {
                        "data": data,
                        "sharing": sharing,
                        "embedder": arguments.embedder,
                        "release": text,
                        "seed": seed,
                    }
                    if any(all(row.get(k) == v for k, v in key.items()) for row in rows):
                        continue
                    chain = text.replace("SECRET", str(secret))
                    if arguments.what == "worth":
                        found = _worth(material, chain, sharing, seed)
                    else:
                        found = _leaks(material, chain, sharing, seed, arguments.attacks)
                    rows.append({**key, **found})
                    storage.write_json(arguments.out, rows)
                    print(key, {k: v for k, v in found.items() if k != "findings"}, flush=True)


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
                column = f"{sharing} leak: {found['quantity']}, {found['measure']}"
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
        if "findings" not in row or row["sharing"] != "embeddings" or "SECRET" in row["release"]:
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


def _worth(material: Material, chain: str, sharing: str, seed: int) -> dict[str, Any]:
    key = f"site {seed}".encode()
    released = (
        material.with_statistics(parse_statistics_chain(chain), key=key)
        if sharing == "statistics"
        else material.released(parse_chain(chain), key=key)
    )
    found = worth(material, released, sharing=sharing, seed=seed)  # type: ignore[arg-type]
    return {"alone": found.alone, "together": dict(found.together), "machines": found.machines}


def _leaks(
    material: Material, chain: str, sharing: str, seed: int, attacks: list[str]
) -> dict[str, Any]:
    settings = AuditSettings("modulation", "", (chain,), sharing=sharing, seed=seed)  # type: ignore[arg-type]
    done = audit(material, replace(settings, attacks=tuple(attacks)), with_worth=False)
    return {"findings": done.to_json()["releases"][0]["findings"]}


def _material(data: str, arguments: argparse.Namespace, seed: int) -> Material:
    own_seed = seed if data == "simulated" else 0
    path = arguments.cache / f"{arguments.embedder}-{data}-{own_seed}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())  # noqa: S301 - written by this script
    if data == "simulated":
        simulation, embedder = Simulation(), create_embedder(arguments.embedder)
        found = simulated(simulation, embedder, seed=seed)
        beside = asides(simulation.config(seed), embedder, voices(arguments.speech))
        found = replace(found, aside=beside)
    elif data == "audio":
        found = recorded(
            open_dataset(arguments.shared / "testbed" / "audio"),
            create_embedder(arguments.embedder),
        )
    else:
        dataset = open_dataset(arguments.shared / "testbed" / "toycar_logmel")
        found = recorded(dataset, create_embedder("precomputed"))
        modulation = Modulation()
        samples = []
        for sample in found.samples:
            levels = sample.frames.astype(np.float32)
            frames = modulation.from_logmel(torch.from_numpy(levels)[None])[0].numpy()
            times = 1.0 + np.arange(len(frames)) * modulation.hop_seconds
            samples.append(
                replace(
                    sample, frames=frames.astype(np.float16), times=times, levels=cells_of(levels)
                )
            )
        found = Material(samples)
    found = replace(found, sounds=None)
    path.write_bytes(pickle.dumps(found))
    return found


if __name__ == "__main__":
    main()
