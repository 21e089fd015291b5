"""Who takes part, as it changes over years: struck off, added, renewed."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("nvflare")

from provisioning import free_port, provision
from thrum.cli.main import app
from thrum.errors import ConfigError, FederationError
from thrum.federation.flare.allowed import Allowed
from thrum.federation.flare.endpoints import RemoteSite
from thrum.federation.flare.kit import reachable, read_kit, server_kits
from thrum.federation.flare.renewing import forget_certificate


def write_sites(path: Path, *names: str) -> None:
    lines = [f'{name} = ["fan/{name}"]' for name in names]
    path.write_text("[sites]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def test_the_list_of_sites_is_the_one_of_now(tmp_path: Path) -> None:
    path = tmp_path / "sites.toml"
    write_sites(path, "north", "south")
    allowed = Allowed(path)
    allowed.require("north")
    write_sites(path, "south")
    with pytest.raises(FederationError, match="site 'north' is not in .*, or no longer"):
        allowed.require("north")
    allowed.require("south")
    write_sites(path, "south", "west")
    allowed.require("west")
    path.write_text("[sites", encoding="utf-8")
    with pytest.raises(ConfigError):
        allowed.require("south")
    path.unlink()
    with pytest.raises(ConfigError, match="nobody takes part until it can"):
        allowed.require("south")
    Allowed(None).require("anybody")


def test_who_is_struck_off_hears_nothing_from_the_next_message_on(tmp_path: Path) -> None:
    path, heard = tmp_path / "sites.toml", []
    write_sites(path, "north")

    class Proxy:
        def __call__(self, *, timeout: float) -> Proxy:
            return self

        def present(self) -> None:
            heard.append("present")

        def answer(self, **words: Any) -> dict[str, Any]:
            heard.append(words["question"])
            return {"answer": {}}

        def conclude(self, **words: Any) -> None:
            heard.append("the end")

    site = RemoteSite("north", Proxy(), answer_seconds=1, allowed=Allowed(path))
    site.manifest("train")
    assert heard == ["present", "manifest"]
    write_sites(path, "south")
    with pytest.raises(FederationError, match="no longer"):
        site.chunk("train", "a" * 64)
    with pytest.raises(FederationError, match="no longer"):
        site.conclude("done", {})
    assert heard == ["present", "manifest"]


def renewed(folder: Path, name: str) -> Path:
    """Do what deploy/README.md says; return the folder of the new kits."""
    done = CliRunner().invoke(
        app, ["collaborate", "renew", name, "--kits", str(folder / "kits" / "thrum")]
    )
    assert done.exit_code == 0, done.output
    assert "hand out its kit alone" in done.output
    command = [sys.executable, "-c", "from nvflare.cli import main; main()", "provision"]
    command += ["-p", str(folder / "project.yml"), "-w", str(folder / "kits"), "--force"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "kits" / "thrum" / "prod_01"


def test_one_site_is_renewed_and_the_others_keep_their_kits(tmp_path: Path) -> None:
    """The new certificate is of the same authority: the server's old kit accepts it, with no restart."""
    folder = tmp_path / "hall 2"
    old = provision(folder, port=free_port())
    new = renewed(folder, "north")
    state = folder / "kits" / "thrum" / "state" / "cert.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600

    def certificate(kits: Path, site: str) -> bytes:
        return (kits / site / "startup" / "client.crt").read_bytes()

    assert certificate(new, "north") != certificate(old, "north")
    assert certificate(new, "south") == certificate(old, "south")
    north = read_kit(new / "north", role="site")
    server, _ = server_kits(old)
    with listening(server.startup, north.port):
        assert reachable(north)
        assert reachable(read_kit(old / "south", role="site"))


def test_what_cannot_be_renewed_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wanted the folder that nvflare provision made"):
        forget_certificate(tmp_path, "north")
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "cert.json"
    path.write_text(json.dumps({"root_cert": "x", "south": {"cert": "no certificate"}}))
    for name in ("north", "root_cert"):
        with pytest.raises(ConfigError, match=f"no certificate of '{name}'; there are: south"):
            forget_certificate(tmp_path, name)
    with pytest.raises(ConfigError, match="the certificate of 'south' is damaged"):
        forget_certificate(tmp_path, "south")


class listening:  # noqa: N801 - reads as what it does
    """A server of TLS with a kit's certificate, that wants one of a site, as the engine does."""

    def __init__(self, startup: Path, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(startup / "server.crt", startup / "server.key")
        context.load_verify_locations(startup / "rootCA.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self._context, self._port = context, port

    def __enter__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1)
            except OSError:
                pass

    def __exit__(self, *_: object) -> None:
        self._socket.close()
