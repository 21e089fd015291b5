"""What does the ID classifier cost in its two forms, and how does the cost grow with the embedding?

    python benchmarks/id_classifier.py [--large]

Prints clips per second in training and in scoring, one thread, for embeddings of the sizes that the paper's
embedders give for ten seconds, on random frames: the arithmetic does not depend on what the frames hold.
``--large`` adds images of 32 × 6144, which want much memory and minutes.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from thrum.systems.embedding_sharing import (
    FramePool,
    network_scores,
    preset_config,
    train_classifier,
)

SIZES = {
    # frames and dimensions of ten seconds, stacking of the image form
    "log-mel": (313, 128, 64, 8),
    "YAMNet": (20, 1024, 8, 1),
    "OpenL3-512": (96, 512, 32, 4),
    "OpenL3-6144": (96, 6144, 32, 4),
}
CLIPS = 4  # a machine, of two


def main() -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    warm_up(random)
    print(
        "| embedding | form | parameters | clips/s, one epoch of one network | clips/s, scoring |"
    )
    print("|---|---|---:|---:|---:|")
    for name, (frames, dimensions, stack_frames, stack_hop) in SIZES.items():
        for preset in ("paper", "compact"):
            if preset == "paper" and dimensions > 1024 and "--large" not in sys.argv:
                continue
            config = preset_config(preset, assignments=["members=1", "epochs=1"])
            shape = (CLIPS, frames, dimensions)
            pool = FramePool(
                {
                    ("machine", f"id_{n:02d}"): list(random.normal(size=shape).astype(np.float16))
                    for n in range(2)
                }
            )
            started = time.perf_counter()
            classifier = train_classifier(
                pool, config, stack_frames=stack_frames, stack_hop=stack_hop, device="cpu"
            )
            seconds = time.perf_counter() - started
            seen = len(pool) if config.form == "image" else 256  # an epoch of few clips is longer
            started = time.perf_counter()
            network_scores(classifier, pool.keys[0], pool.frames[:CLIPS], pool.frames[CLIPS:])
            scoring = time.perf_counter() - started
            parameters = sum(p.numel() for p in classifier.members[0].network.parameters())
            print(
                f"| {name} | {preset} | {parameters / 1e6:.2f} M | {seen / seconds:.1f} "
                f"| {2 * CLIPS / scoring:.1f} |",
                flush=True,
            )


def warm_up(random: np.random.Generator) -> None:
    """Pay for imports before the clock runs."""
    frames = list(random.normal(size=(4, 8, 4)).astype(np.float16))
    pool = FramePool({("a", "0"): frames, ("a", "1"): frames})
    config = preset_config("compact", assignments=["members=1", "epochs=1"])
    train_classifier(pool, config, stack_frames=4, stack_hop=1, device="cpu")


if __name__ == "__main__":
    main()
