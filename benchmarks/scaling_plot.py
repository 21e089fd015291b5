"""Draws how costs grow, from what scaling.py and scaling_clips.py wrote.

    python benchmarks/scaling_plot.py docs/results/federation/scaling*.json \
        docs/results/speed/scaling_clips.json --out docs/images

Writes ``scaling-sites.svg`` (rows of the fewest clips a site) and ``scaling-clips.svg`` (those of the fewest
sites), beside the line that is proportional to the last point, and ``scaling-commands.svg``, a line a
command: processor seconds and memory; what a clip more costs, from one but the most to the most, is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

WORDS = {"sites": "sites (8 training clips each)", "clips": "training clips of each of 20 sites"}
MEASURED = {"processor_seconds": "processor seconds", "largest_mebibytes": "largest memory, MiB"}


def draw(rows: Sequence[dict[str, Any]], axis: str, path: Path) -> None:
    counts = [row[axis] for row in rows]
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
    for panel, (name, words) in zip(panels, MEASURED.items(), strict=True):
        values = [row[name] for row in rows]
        panel.plot(counts, values, "o-", color="C0", label="measured")
        if name == "processor_seconds":
            proportional = [values[-1] * count / counts[-1] for count in counts]
            panel.plot(counts, proportional, ":", color="0.5", label="in proportion")
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_yticks(values, [f"{value:g}" for value in values])
            panel.legend(frameon=False)
        else:
            panel.set_xscale("log")
            panel.set_ylim(0, 1.2 * max(values))
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.set_xlabel(WORDS[axis])
        panel.set_ylabel(words)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw_commands(rows: Sequence[dict[str, Any]], path: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 3.4), layout="constrained")
    counts = sorted({row["clips"] for row in rows})
    for panel, (name, words) in zip(panels, MEASURED.items(), strict=True):
        for number, command in enumerate(dict.fromkeys(row["command"] for row in rows)):
            own = sorted((row["clips"], row[name]) for row in rows if row["command"] == command)
            style = ("o-", "s-", "^-", "v--", "D-")[number]
            panel.plot(*zip(*own, strict=True), style, markersize=4, label=command)
            (few, cheap), (many, dear) = own[-2:]
            print(
                f"{command}: {1000 * (dear - cheap) / (many - few):.3g} thousandths a clip, {words}"
            )
        panel.set_xscale("log")
        panel.set_xticks(counts, [f"{count:,}" for count in counts])
        panel.minorticks_off()
        panel.set_xlabel("clips")
        panel.set_ylabel(words)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yscale("log")
    panels[0].set_yticks([10, 100, 1000], ["10", "100", "1,000"])
    panels[0].minorticks_off()
    panels[0].legend(frameon=False)
    panels[1].set_ylim(0, 1.2 * max(row["largest_mebibytes"] for row in rows))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    mpl.rcParams |= {
        "svg.hashsalt": "thrum",
        "svg.fonttype": "none",
    }  # the same picture, byte for byte
    rows = [row for path in arguments.records for row in json.loads(path.read_text())["rows"]]
    commands = [row for row in rows if "command" in row]
    if commands:
        draw_commands(commands, arguments.out / "scaling-commands.svg")
    rows = [row for row in rows if "shared" in row]
    if not rows:
        return
    for axis, other in (("sites", "clips"), ("clips", "sites")):
        fewest = min(row[other] for row in rows)
        own = [row for row in rows if row[other] == fewest and row["shared"] == "statistics"]
        own.sort(key=lambda row: row[axis])
        draw(own, axis, arguments.out / f"scaling-{axis}.svg")


if __name__ == "__main__":
    main()
