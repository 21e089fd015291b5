"""Options that several verbs have, each of one name and one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thrum.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from thrum.federation.releasing import Releases
    from thrum.monitoring import AlarmSettings
    from thrum.types import Dataset


def _choose_backend(name: str | None) -> str | None:
    """Let all embedders of this process, and of those it starts, run with one backend."""
    if name is not None:
        import os

        from thrum.embedders.runtimes import VARIABLE, asked_backend

        os.environ[VARIABLE] = asked_backend(name)
    return name


Seed = Annotated[int, typer.Option(min=0, help="Decides everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Backend = Annotated[
    str | None,
    typer.Option(
        callback=_choose_backend,
        help="What runs a pretrained embedder on a CPU: torch, onnxruntime, openvino; auto (default) takes "
        "the first installed of onnxruntime, openvino, torch.",
    ),
]
Layout = Annotated[str | None, typer.Option(help="arrays, mimii, dcase or folder; else found out.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="A table that says what each file is (columns file, label; machine, id, split, domain, "
        "attributes), whatever the layout.",
    ),
]
Normal = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Which files are normal, as 'pump/run1/*'; repeatable."),
]
Anomaly = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Which are anomalies; repeatable.")
]
ClipSeconds = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Cut longer recordings into clips of so many seconds; 0: never. "
        "Else those over 30 s are cut into 10 s.",
    ),
]
HopSeconds = Annotated[
    float | None, typer.Option(min=0, help="From one such clip to the next; else end to end.")
]
Rounds = Annotated[int | None, typer.Option(min=1, help="With --serve: end after so many rounds.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable."),
]
Sharing = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="statistics: of each machine a count and how its clips vary, no embedding. "
        "embeddings: these, and an ID classifier is trained on them (the paper's way).",
    ),
]
Release = Annotated[
    str | None,
    typer.Option(
        metavar="CHAIN",
        help="The form in which what is shared leaves, the same at all sites. Embeddings: clip_mean "
        "(default), frames, every:N, rotate:FILE, quantise:BITS, gaussian:EPSILON,DELTA,clip. Statistics: "
        "least:5 (default), gaussian:EPSILON,DELTA,clip, secure. Joined by ' | '.",
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        metavar="EPSILON,DELTA",
        help="The most that noise may cost any clip, in all rounds together; then nothing new leaves.",
    ),
]
WhiteningFrom = Annotated[
    int,
    typer.Option(
        min=1,
        help="Under Algorithm 1, the fewest sites whose frames a classifier is standardised by; it carries "
        "their mean.",
    ),
]
PerMachineType = Annotated[
    bool | None,
    typer.Option(
        "--per-machine-type/--one-for-all",
        help="One classifier a machine type, as in the paper, or one for all; else as the preset has it.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a killed run.")]
FalseAlarms = Annotated[
    str,
    typer.Option(help="How seldom, for instance '1 in 1000 clips', or '1 per week' with --every."),
]
Every = Annotated[str | None, typer.Option(help="How often there is a clip, for instance 10s.")]
Rule = Annotated[
    str,
    typer.Option(
        help="stream: what clips say adds up. XofY, as 3of5: so many of the last are strange. "
        "clip: one clip is enough."
    ),
]
DEFAULT_RELEASE = "clip_mean"
"""Of embeddings: how a sound goes on within a clip does not leave, which costs no AUC (docs/privacy.md)."""
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def open_data(
    data: Path,
    layout: str | None,
    labels: Path | None,
    normal: list[str] | None,
    anomaly: list[str] | None,
    clip_seconds: float | None,
    hop_seconds: float | None,
) -> Dataset:
    """Open a dataset as the options of a verb say."""
    from thrum.datasets import Cutting, open_dataset

    return open_dataset(
        data,
        layout=layout,
        labels=labels,
        normal=normal or (),
        anomaly=anomaly or (),
        cutting=Cutting(clip_seconds, hop_seconds),
    )


def alarm_settings(
    false_alarms: str, every: str | None, rule: str, *, tail: bool = False
) -> AlarmSettings:
    """Return when an alarm is raised, as the options of a verb say."""
    import re

    from thrum.errors import UsageError
    from thrum.monitoring import AlarmSettings
    from thrum.monitoring.asked import clips_between

    between = clips_between(false_alarms, every=every)
    if rule == "stream":
        return AlarmSettings("stream", between, tail=tail)
    if rule == "clip":
        return AlarmSettings("clip", between, tail=tail)
    counts = re.fullmatch(r"([0-9]+) ?of ?([0-9]+)", rule.casefold())
    if not counts:
        raise UsageError(f"no rule is called {rule!r}; say stream, clip, or for instance 3of5")
    return AlarmSettings("x of y", between, x=int(counts[1]), y=int(counts[2]), tail=tail)


def signature() -> tuple[str, str]:
    """Return when it is and who asks, for logs: UTC to the second, and the user's name on this machine."""
    import getpass
    from datetime import UTC, datetime

    try:
        who = getpass.getuser()
    except (OSError, KeyError):  # a number without a name
        who = "unknown"
    return datetime.now(UTC).isoformat(timespec="seconds"), who


def check_out(out: Path, *, resume: bool) -> None:
    """Raise a `ConfigError` where the folder of a new run is none, or holds something already."""
    if not str(out).isprintable():
        raise ConfigError(f"{str(out)!r} cannot be written as text: choose another --out")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, wanted a folder: choose another --out")
    if out.exists() and any(out.iterdir()) and not resume:
        raise ConfigError(
            f"{out} is not empty: say --resume to go on there, or choose another --out"
        )


def checked_releases(
    release: str | None, budget: str, *, sharing: str, form: str = "sequence"
) -> Releases:
    """Return in which form a site releases.

    Parameters
    ----------
    form
        Of the ID classifier: images are stacked of frames, which a clip's mean has none of.
    """
    from thrum.federation.releasing import Releases
    from thrum.privacy.mechanisms.chain import resolved

    if sharing == "statistics":
        return Releases(statistics=release or Releases().statistics, budget=budget)
    default = "frames" if form == "image" else DEFAULT_RELEASE
    return Releases(embeddings=resolved(release or default), budget=budget)


def checked_sharing(
    sharing: str,
    *,
    algorithm: int,
    preset: str = "compact",
    config: Path | None = None,
    settings: list[str] | None = None,
) -> Literal["statistics", "embeddings"]:
    """Return what is shared, or raise where the other options are of a classifier that nobody trains."""
    if sharing == "embeddings":
        return "embeddings"
    if sharing != "statistics":
        raise UsageError(f"--sharing is {sharing!r}, wanted statistics or embeddings")
    if algorithm != 1 or preset != "compact" or config is not None or settings:
        raise UsageError(
            "--algorithm, --preset, --config and --set are of the ID classifier, which is trained on "
            "embeddings: add --sharing embeddings, or leave them out"
        )
    return "statistics"
