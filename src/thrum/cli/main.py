"""``thrum``: the verbs together, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

import thrum
from thrum.cli import (
    baseline,
    bench,
    collaborate,
    data,
    demo,
    embed,
    evaluate,
    explain,
    export,
    fine_tune,
    monitor,
    privacy,
    score,
    train,
    weights,
)
from thrum.errors import ThrumError

app = typer.Typer(
    name="thrum",
    help="Finds failing machines by their sound, and lets sites that may not share recordings learn "
    "together.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.add_typer(collaborate.app, name="collaborate")
app.command("train")(train.train)
app.command("fine-tune")(fine_tune.fine_tune)
app.command("score")(score.score)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("embed")(embed.embed)
app.command("bench")(bench.bench)
app.add_typer(baseline.app, name="baseline")
app.add_typer(monitor.app, name="monitor")
app.add_typer(data.app, name="data")
app.add_typer(privacy.app, name="privacy")
app.add_typer(weights.app, name="weights")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"thrum {thrum.__version__}")
        raise typer.Exit


@app.callback()
def _thrum(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="The version."
    ),
) -> None:
    pass


INTERRUPTED = 130
_RESUMING = ("train", "fine-tune")
_GOING_ON = ("bench", "collaborate", "data fetch", "demo", "embed", "weights fetch")


def main() -> None:
    """Run the command line.

    Exit codes: 0 well, 1 the work failed, 2 the words were wrong, 3 something is in alarm, 4 a limit
    that was asked for is passed, 130 stopped by Ctrl-C.
    """
    try:
        app()
    except ThrumError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except UnicodeEncodeError as error:
        _fail(f"a name cannot be written as text: {error}", 1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's word for KeyboardInterrupt
            typer.secho(f"thrum: stopped{_how_to_go_on(sys.argv[1:])}", err=True)
        raise


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(f"thrum: {message}", err=True, fg=typer.colors.RED)
    sys.exit(code)


def _how_to_go_on(words: Sequence[str]) -> str:
    verb = " ".join(words[:2])
    if verb.startswith(_RESUMING):
        return "; run the same command with --resume to go on"
    if verb.startswith(_GOING_ON):
        return "; run the same command again to go on"
    return ""
