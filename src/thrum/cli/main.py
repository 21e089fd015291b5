"""``thrum``: the verbs together, and what becomes of errors."""

from __future__ import annotations

import sys

import typer

import thrum
from thrum.cli import (
    bench,
    collaborate,
    data,
    demo,
    embed,
    evaluate,
    fine_tune,
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
app.command("evaluate")(evaluate.evaluate)
app.command("embed")(embed.embed)
app.command("bench")(bench.bench)
app.add_typer(data.app, name="data")
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


def main() -> None:
    """Run the command line. Exit codes: 0 well, 1 the work failed, 2 the words were wrong."""
    try:
        app()
    except ThrumError as error:
        typer.secho(f"thrum: {error}", err=True, fg=typer.colors.RED)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.secho("thrum: stopped; run the same command again to go on", err=True)
        sys.exit(130)
