"""PostgreSQL and mosquitto, of Debian's packages, each in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import monitored

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


def postgresql() -> Path | None:
    """Return where the programs of a PostgreSQL server are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = shutil.which("initdb") or (found and str(found[-1]))
    return Path(there).resolve().parent if there else None


class Cluster:
    """A PostgreSQL server that is as careful with the disk as any."""

    def __init__(self, programs: Path) -> None:
        self.programs, self.user, self.port = programs, None, monitored.free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        if os.geteuid() == 0:  # a server refuses to be root
            known = {each.pw_name for each in pwd.getpwall()}
            self.user = "postgres" if "postgres" in known else "nobody"
            shutil.chown(self.folder, self.user)
        self.run("initdb", "-D", str(self.folder / "data"), "-U", "thrum", "-A", "trust")
        self.control("start")

    def run(self, program: str, *words: str) -> None:
        """Run one of its programs."""
        subprocess.run(
            [self.programs / program, *words],
            check=True,
            capture_output=True,
            user=self.user,
            cwd=self.folder,
            timeout=120,
        )

    def control(self, what: str) -> None:
        """Start or stop it."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        words = ["-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log")]
        self.run("pg_ctl", *words, "-o", options, "-m", "fast", what)

    def made(self, name: str) -> str:
        """Make a database; return its address."""
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "thrum", name)
        return f"postgresql+psycopg://thrum@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """Stop it and remove it."""
        self.control("stop")
        shutil.rmtree(self.folder)


class Mosquitto:
    """A broker that keeps what it has for those who are away, without a limit."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = monitored.free_port(), folder
        (folder / "mosquitto").mkdir()
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\nuser root\n"
            f"persistence_location {folder}/mosquitto/\nmax_queued_messages 0\nlog_type error\n"
        )
        self.begin()

    def begin(self) -> None:
        """Start it."""
        words = [str(MOSQUITTO), "-c", str(self.folder / "mosquitto.conf")]
        self.process = subprocess.Popen(words)
        time.sleep(1)

    def end(self) -> None:
        """Stop it; what it has goes to the disk."""
        self.process.terminate()
        self.process.wait(20)
