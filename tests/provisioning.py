"""Kits for the tests, made from the project file that is shipped."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "deploy" / "project.yml"


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def provision(folder: Path, *, port: int, further: Sequence[str] = ()) -> Path:
    """Make kits in `folder` for a server on loopback, and for `further` sites; return their folder."""
    folder.mkdir(parents=True)
    project = PROJECT.read_text(encoding="utf-8")
    project = project.replace("thrum.example.org", "localhost").replace("8002", str(port))
    more = "".join(f"  - name: {site}\n    type: client\n    org: {site}\n" for site in further)
    project = project.replace("\nbuilders:", f"{more}\nbuilders:", 1)
    (folder / "project.yml").write_text(project, encoding="utf-8")
    command = [sys.executable, "-c", "from nvflare.cli import main; main()", "provision"]
    command += ["-p", str(folder / "project.yml"), "-w", str(folder / "kits")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "kits" / "thrum" / "prod_00"
