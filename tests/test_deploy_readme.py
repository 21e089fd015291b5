"""deploy/README.md, followed word for word on three empty machines: folders with nothing but the project.

What a person edits is edited (names, the port), what a person brings is brought (recordings). A stand-in
for ``scp`` copies between the folders. The package is installed as written; what it depends on comes from
the environment of the tests, but with THRUM_TEST_INSTALL=1, which downloads it all.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import machines
from provisioning import free_port

ROOT = Path(__file__).parents[1]
README = ROOT / "deploy" / "README.md"
BLOCKS = [block.strip() for block in README.read_text(encoding="utf-8").split("```")[1::2]]
WHOLE = os.environ.get("THRUM_TEST_INSTALL") == "1"
SITES = {"north.example.org": "fan", "south.example.org": "pump"}
LEFT_OUT = {
    "mv kits": "wants a medium that is mounted at /media/vault",
    "cp deploy/systemd": "wants root, and systemd as the first process",
}
ROUND_SECONDS = 300


def block(beginning: str) -> str:
    """Return the one block of commands that begins so."""
    (found,) = [text for text in BLOCKS if text.startswith(beginning)]
    return found


@pytest.mark.parametrize("beginning", LEFT_OUT)
def test_a_block_that_is_not_followed(beginning: str) -> None:
    assert block(beginning)
    pytest.skip(f"{block(beginning)}: {LEFT_OUT[beginning]}")


class Machine:
    """An empty folder with the project in it, and a shell that knows nothing of this one."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / name
        self.folder.mkdir()
        for part in ("src", "deploy"):
            shutil.copytree(
                ROOT / part, self.folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, self.folder)
        self.environment = {
            "HOME": str(self.folder),
            "PATH": os.pathsep.join([str(root / "bin"), "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8",
            "MACHINES": str(root),
            "OMP_NUM_THREADS": "1",
        }

    def install(self) -> None:
        """Follow the first block."""
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        done = self.start("python3 -m venv", pip)
        said = self.end(done, seconds=ROUND_SECONDS)
        if done.returncode and "No matching distribution found for hatchling" in said:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, said
        if not WHOLE:  # programs of what is not installed here
            self.environment["PATH"] += os.pathsep + str(Path(sys.executable).parent)

    def start(self, beginning: str, further: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Begin to follow a block, in a shell in which the environment is active."""
        active = "" if beginning.startswith("python3") else ". .venv/bin/activate\n"
        return subprocess.Popen(
            ["sh", "-ec", active + block(beginning)],
            cwd=self.folder,
            env=self.environment | (further or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen[str], *, seconds: float) -> str:
        """Wait for a block; return what it said."""
        try:
            return process.communicate(timeout=seconds)[0]
        finally:
            process.kill()

    def follow(self, beginning: str, *, seconds: float = 60) -> str:
        """Follow a block that must end well; return what it said."""
        process = self.start(beginning)
        said = self.end(process, seconds=seconds)
        assert process.returncode == 0, said
        return said

    def edit(self, name: str, before: str, after: str) -> None:
        """Change what the text tells a person to change."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")


def programs(folder: Path) -> None:
    """Write the programs that a machine has beside those of the system: Python, and a way to the others."""
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    there = f"""{base} "$@"
[ "$2" != venv ] || echo {sysconfig.get_path("purelib")} > "$3"/lib/{base.name}/site-packages/there.pth"""
    folder.mkdir()
    for name, lines in {
        "python3": f'exec {base} "$@"' if WHOLE else there,
        "scp": 'exec cp "$1" "$2" "$MACHINES/${3%%:*}/${3#*:}"',
    }.items():
        (folder / name).write_text(f"#!/bin/sh -e\n{lines}\n")
        (folder / name).chmod(0o755)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
def test_the_readme_leads_from_nothing_to_two_sites_that_learn_together(tmp_path: Path) -> None:
    programs(tmp_path / "bin")
    server = Machine(tmp_path, "server")
    sites = [Machine(tmp_path, name) for name in SITES]
    for machine in (server, *sites):
        machine.install()
    assert "deploy/project.yml" in block("umask")
    server.edit("deploy/project.yml", "thrum.example.org", "localhost")
    server.edit("deploy/project.yml", "8002", str(free_port()))
    server.follow("umask")
    server.follow("scp")
    for site, kind in zip(sites, SITES.values(), strict=True):
        sound = machines.write_sound(tmp_path / f"{kind}s", machines=1, clips=8)
        shutil.copytree(sound / "machine0", site.folder / "recordings" / kind)
    running = [site.start("thrum collaborate client") for site in sites]
    try:
        said = server.follow("thrum collaborate server", seconds=ROUND_SECONDS)
        ends = [
            site.end(process, seconds=ROUND_SECONDS)
            for site, process in zip(sites, running, strict=True)
        ]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], (said, ends)
    for site, kind in zip(sites, SITES.values(), strict=True):
        with (site.folder / "collaboration" / "results.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {row["machine"] for row in rows} == {kind}
        assert "pool" in {row["method"] for row in rows}


def test_every_block_is_followed_or_left_out_for_a_reason() -> None:
    followed = [
        "python3 -m venv",
        "umask",
        "scp",
        "thrum collaborate client",
        "thrum collaborate s",
    ]
    known = [block(beginning) for beginning in [*followed, *LEFT_OUT]]
    assert sorted(known) == sorted(BLOCKS)
