"""``thrum monitor``: watch machines day and night."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.monitor_logs import begin_logs
from thrum.cli.options import Json

if TYPE_CHECKING:
    from thrum.service.running import Service

app = typer.Typer(
    help="Watch machines day and night: dashboard, alarms, inputs.", invoke_without_command=True
)
Config = Annotated[
    Path | None, typer.Option(help="What is watched, and who is told: monitor.toml.")
]
NEEDED = ("nicegui", "sqlalchemy", "alembic", "paho.mqtt", "prometheus_client", "argon2")


@app.callback()
def monitor(
    context: typer.Context,
    config: Config = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Simulated machines play live, faults grow in some of them."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the demonstration puts everything.")] = Path(
        "runs/monitor-demo"
    ),
    host: Annotated[str, typer.Option(help="Where the demonstration listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="And on which port.")] = 8321,
) -> None:
    """Watch machines until Ctrl-C or SIGTERM; prints the address of the dashboard."""
    from thrum.errors import UsageError

    if context.invoked_subcommand is not None:
        return
    if demo == (config is not None):
        raise UsageError("say thrum monitor --config monitor.toml, or thrum monitor --demo")
    require_extra()
    begin_logs()
    if config is not None:
        _watch(config)
    else:
        _demonstrate(out, host, port)


@app.command("check")
def check(
    config: Annotated[Path, typer.Option(help="monitor.toml.")],
    json: Json = False,
) -> None:
    """Look whether the service could run so: settings, runs, inputs, disk, database. Exit code 1: not
    all is well.
    """
    from dataclasses import asdict

    require_extra()
    from thrum.service import checking
    from thrum.service import config as configs

    found = list(checking.check(configs.load(config)))
    if json:
        console.print_json([asdict(each) for each in found])
    else:
        for each in found:
            typer.echo(f"{'well' if each.well else 'NOT WELL':<9} {each.what}: {each.detail}")
    if not all(each.well for each in found):
        raise typer.Exit(1)


@app.command("backup")
def backup(
    config: Annotated[Path, typer.Option(help="monitor.toml.")],
    out: Annotated[Path, typer.Option(help="The copy, a .tar.gz.")],
) -> None:
    """Copy database, kept audio and baselines into one file, while the service runs."""
    require_extra()
    from thrum.service import backup as copies
    from thrum.service import config as configs

    count = copies.back_up(configs.load(config), out)
    typer.echo(f"{out}: the database, {count} recordings, the baselines")


@app.command("restore")
def restore(
    config: Annotated[Path, typer.Option(help="monitor.toml.")],
    copy: Annotated[Path, typer.Argument(metavar="COPY", help="What backup wrote.")],
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="End the service that runs, keep what it had, take its place."
        ),
    ] = False,
) -> None:
    """Bring a copy back into the folder of a service; systemd starts a service that ran again."""
    require_extra()
    from thrum.service import backup as copies
    from thrum.service import config as configs

    for note in copies.restore(configs.load(config), copy, replace=replace):
        typer.echo(f"note: {note}", err=True)
    typer.echo("restored; start thrum monitor, where nothing starts it by itself")


def require_extra() -> None:
    """Raise where what the service needs is not installed.

    Raises
    ------
    UsageError
        With what to install.
    """
    from thrum.errors import UsageError

    missing = [name for name in NEEDED if importlib.util.find_spec(name.split(".")[0]) is None]
    if missing:
        raise UsageError(
            f"thrum monitor needs {', '.join(missing)}: install them with pip install 'thrum[monitor]'"
        )


def _watch(config: Path) -> None:
    from functools import partial

    from thrum.service import config as configs
    from thrum.service.running import Service
    from thrum.service.serving import serve

    service = Service(configs.load(config))
    serve(service, announce=partial(_announce, service))


def _demonstrate(out: Path, host: str, port: int) -> None:
    from functools import partial

    from thrum.service import demo
    from thrum.service.running import Service
    from thrum.service.serving import address, serve

    with console.progress() as progress:
        demo.prepare(out, progress=progress)
    service = Service(
        demo.settings(out, host=host, port=port), makes={"simulated": partial(demo.make_input)}
    )
    password = demo.sign_up(service)

    def announce() -> None:
        typer.echo(f"dashboard: {address(service)}")
        typer.echo(f"sign in as {demo.USER} with the password {password}")
        typer.echo(
            "ten minutes of the machines' life pass in two; three of five go wrong. Ctrl-C ends."
        )

    serve(service, announce=announce)


def _announce(service: Service) -> None:
    from thrum.service.serving import address
    from thrum.service.web.entrance import setup_code

    where = address(service)
    code = setup_code(service)
    typer.echo(f"dashboard: {where}")
    if code is not None:
        typer.echo(f"make the first administrator: {where}setup?code={code}")
    if service.settings.service.host not in ("127.0.0.1", "localhost", "::1") and not (
        service.settings.service.certificate
    ):
        typer.echo(
            "note: others can listen in on http: give certificate and private_key, or put a proxy before it",
            err=True,
        )
