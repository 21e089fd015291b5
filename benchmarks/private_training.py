"""What networks trained by DP-SGD are worth, and what they still tell: a table of docs/privacy.md.

    python benchmarks/private_training.py --shared ../shared --seeds 3

The four ToyCars of the testbed as `modulation`, one vector a clip. AUC: each site alone, the networks (two of
twelve epochs, as an audit has them), both joined; membership: the audit's attack on networks trained on half
of the clips, on two machines a seed. *as DP-SGD wants* is the same networks without noise: group
normalisation, nothing mixed, nothing standardised. With noise, *both joined* has no covariances of others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from privacy_material import materials
from thrum.privacy.audit.attack import Round
from thrum.privacy.audit.attacks.membership import Membership
from thrum.privacy.audit.worth import alone, worth
from thrum.privacy.mechanisms import parse_chain

WITHOUT = ("norm=group", "mixup=false", "standardise=false")
COLUMNS = ("network", "fused", "margin", "reference")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--epsilons", type=float, nargs="+", default=[100.0, 10.0, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "thrum-audit")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    rows: dict[str, tuple[str, ...]] = {
        "as it is": (),
        "as DP-SGD wants": WITHOUT,
        **{
            f"epsilon {epsilon:g}": (f"dp_epsilon={epsilon}", *arguments.settings)
            for epsilon in arguments.epsilons
        },
    }
    found: dict[tuple[str, str], list[float]] = {}
    by_itself = []
    for seed in range(arguments.seeds):
        made = materials(
            "ToyCar",
            ["modulation"],
            shared=arguments.shared,
            speech=None,
            cache=arguments.cache,
            seed=seed,
        )["modulation"].released(parse_chain("clip_mean"), key=b"")
        own = alone(made)
        by_itself.append(100 * float(np.mean(list(own.values()))))
        auxiliary, target = made.divided()
        for name, settings in rows.items():
            begun = time.process_time()
            value = worth(made, alone=own, sharing="embeddings", seed=seed, settings=settings)
            attack = Membership(Round(settings=settings), seed=seed).fit(auxiliary)
            told = {one.quantity: one.value for one in attack.attack(target)}
            for column in COLUMNS:
                one = {**value.together, **told}.get(column)
                if one is not None:
                    found.setdefault((name, column), []).append(100 * one)
            print(
                f"seed {seed}, {name}: {time.process_time() - begun:.0f} s",
                *(f"{column} {found[name, column][-1]:.1f}" for column in COLUMNS),
                flush=True,
            )
    print(f"alone: {np.mean(by_itself):.1f}")
    print("| networks | network | joined | membership by margin | by LiRA |\n|---|---|---|---|---|")
    for name in rows:
        cells = (found[name, column] for column in COLUMNS)
        print(f"| {name} |", " | ".join(f"{np.mean(c):.1f} ± {np.std(c):.1f}" for c in cells), "|")


if __name__ == "__main__":
    main()
