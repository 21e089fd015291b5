"""What is in deploy/: commands that exist, and units that systemd takes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from thrum.cli.main import app

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]


def setting(path: Path, name: str) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_runs_a_command_that_exists_with_options_that_it_has(path: Path) -> None:
    (line,) = setting(path, "ExecStart")
    program, *words = shlex.split(line)
    assert program == "/opt/thrum/bin/thrum"
    group = get_command(app)
    context = group.make_context("thrum", list(words), resilient_parsing=False)
    while isinstance(getattr(context.command, "commands", None), dict):
        remaining = [*context._protected_args, *context.args]
        if not remaining:  # a group that does something by itself
            break
        name, command, rest = context.command.resolve_command(context, remaining)  # type: ignore[attr-defined]
        context = command.make_context(name, rest, parent=context)
    assert (context.params.get("config") or context.params["out"]) is not None


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_has_no_rights_that_it_does_not_need(path: Path) -> None:
    assert setting(path, "User") == ["thrum"]
    assert setting(path, "ProtectSystem") == ["strict"]
    assert setting(path, "NoNewPrivileges") == ["yes"]
    assert setting(path, "CapabilityBoundingSet") == [""]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        text = text.replace("/opt/thrum/bin/thrum", "/bin/true").replace("User=thrum", "User=root")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
