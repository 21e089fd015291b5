"""Start-up kits: what ``nvflare provision`` makes for each participant, read and checked."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from thrum.errors import ConfigError, FederationError

Role = Literal["server", "site", "operator"]

_CONFIGS: dict[Role, tuple[str, str]] = {
    "server": ("fed_server.json", "server"),
    "site": ("fed_client.json", "client"),
    "operator": ("fed_admin.json", "client"),
}
CONNECT_SECONDS = 5.0
WARNED_DAYS = 30
REFUSAL_SECONDS = 0.5
"""A server that refuses our certificate says so after the handshake, within this time."""


@dataclass(frozen=True)
class Kit:
    """A participant's certificate, key and the address of the server.

    Parameters
    ----------
    folder
        The kit; its ``startup`` folder holds the files.
    role
        ``server``, ``site`` or ``operator`` (who may submit rounds).
    name, organisation
        As the certificate has them; nobody can take part under another name.
    host, port
        Where the server listens.
    server
        The server's name, as its certificate must have it.
    valid_until
        When the first of its certificates ends: its own, or the authority's.
    tls
        Its certificate and key, and whom it trusts, ready for a connection to the server.
    """

    folder: Path
    role: Role
    name: str
    organisation: str
    host: str
    port: int
    server: str
    valid_until: datetime
    tls: ssl.SSLContext = field(repr=False, compare=False)

    @property
    def startup(self) -> Path:
        """The folder of certificate, key and engine settings."""
        return self.folder / "startup"

    def warning(self, now: datetime | None = None) -> str | None:
        """Return what to say where a certificate ends within `WARNED_DAYS`; None where none does."""
        left = self.valid_until - (now or datetime.now(UTC))
        if left.days >= WARNED_DAYS:
            return None
        return (
            f"the certificates in {self.folder} end on {self.valid_until:%Y-%m-%d}, in {left.days} "
            f"days: ask the operator for a new kit before that (deploy/README.md)"
        )


def read_kit(folder: Path, *, role: Role) -> Kit:
    """Read the kit in `folder`, which must be of the given role.

    Raises
    ------
    ConfigError
        Where there is no such kit, it is damaged, its certificate is not valid today, or the engine
        is not installed.
    """
    if find_spec("nvflare") is None:
        raise ConfigError("NVFlare is not installed: pip install 'thrum[federation]'")
    folder = folder.resolve()
    found = _role_of(folder)
    if found != role:
        came = f"the kit of a {found}" if found else "no kit"
        raise ConfigError(f"{folder} holds {came}, wanted that of a {role} (see deploy/README.md)")
    config_name, base = _CONFIGS[role]
    try:
        config = json.loads((folder / "startup" / config_name).read_text(encoding="utf-8"))
        name, organisation, valid_until = _subject(folder / "startup" / f"{base}.crt")
        host, port, server = _address(config, role)
        _require_name(config, role, name)
        tls = _tls(folder / "startup", base)
        valid_until = min(valid_until, _subject(folder / "startup" / "rootCA.pem")[2])
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise ConfigError(
            f"the kit in {folder} is damaged ({error}): provision it again"
        ) from error
    return Kit(folder, role, name, organisation, host, port, server, valid_until, tls)


def server_kits(folder: Path) -> tuple[Kit, Kit]:
    """Return the kits of the server and of the operator, which lie side by side in `folder`.

    Raises
    ------
    ConfigError
        Where there is not exactly one of each.
    """
    if not folder.is_dir():
        raise ConfigError(f"no folder at {folder}: wanted the one that holds the server's kit")
    kits = []
    for role in ("server", "operator"):
        found = [path for path in sorted(folder.iterdir()) if _role_of(path) == role]
        if len(found) != 1:
            raise ConfigError(
                f"{folder} holds {len(found)} kits of a {role}, wanted one of the server and one "
                f"of the operator side by side, as nvflare provision leaves them"
            )
        kits.append(read_kit(found[0], role=role))
    return kits[0], kits[1]


def reachable(kit: Kit) -> bool:
    """Whether the server answers, and server and kit accept each other's certificates.

    Raises
    ------
    FederationError
        Where the server's name is not known, or what answers has another name in its certificate than
        the kit's server, or one of the two does not trust the other.
    """
    where = f"{kit.host}:{kit.port}"
    try:
        with (
            socket.create_connection((kit.host, kit.port), timeout=CONNECT_SECONDS) as plain,
            kit.tls.wrap_socket(plain, server_hostname=kit.host) as secure,
        ):
            require_server(kit, secure.getpeercert(), where)
            secure.settimeout(REFUSAL_SECONDS)
            with suppress(TimeoutError):  # it waits for us to speak
                secure.recv(1)
    except ssl.SSLCertVerificationError as error:
        raise FederationError(
            f"the server at {where} is not the one of this kit: its certificate was not signed by "
            f"the kit's rootCA.pem ({error.verify_message}); ask the operator for a kit"
        ) from error
    except ssl.SSLError as error:
        raise FederationError(
            f"the server at {where} refused the certificate of {kit.name!r} ({error.reason}); "
            f"ask the operator for a new kit"
        ) from error
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:  # nobody there to look it up: the network may come yet
            return False
        raise FederationError(
            f"the server's name {kit.host!r} is not known here ({error.strerror}): make it known in "
            f"this network, or put the right one into project.yml and provision again"
        ) from error
    except OSError:
        return False
    return True


def require_free_port(kit: Kit) -> None:
    """Raise a `FederationError` where the server's port is already in use on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed server's is free
        try:
            probe.bind(("", kit.port))
        except OSError as error:
            raise FederationError(
                f"port {kit.port} is in use on this machine: stop what uses it, or set another "
                f"fed_learn_port in project.yml and provision again"
            ) from error


def _role_of(folder: Path) -> Role | None:
    for role, (config_name, _) in _CONFIGS.items():
        if (folder / "startup" / config_name).is_file():
            return role
    return None


def require_server(kit: Kit, certificate: Mapping[str, Any] | None, where: str) -> None:
    """Raise a `FederationError` where what answers is another participant than the kit's server."""
    subject = dict(pair for part in (certificate or {}).get("subject", ()) for pair in part)
    found = subject.get("commonName")
    if found != kit.server:
        raise FederationError(
            f"what answers at {where} is {found!r}, the kit's server is {kit.server!r}: start the "
            f"server there, or ask the operator for a kit of this address"
        )


def _require_name(config: Mapping[str, Any], role: Role, name: str) -> None:
    """Raise where the settings of a site's kit are of another site than its certificate."""
    told = config["client"].get("fqsn", name) if role == "site" else name
    if told != name:
        raise ValueError(f"its settings are of {told!r}, its certificate is of {name!r}")


def _subject(certificate: Path) -> tuple[str, str, datetime]:
    """Return name and organisation of a certificate and when it ends, after checking its dates."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    now = datetime.now(UTC)
    if not loaded.not_valid_before_utc <= now <= loaded.not_valid_after_utc:
        raise ConfigError(
            f"{certificate} is valid from {loaded.not_valid_before_utc:%Y-%m-%d} to "
            f"{loaded.not_valid_after_utc:%Y-%m-%d}, today is {now:%Y-%m-%d}: provision again, or "
            f"set the clock"
        )
    name = loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    organisations = loaded.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    organisation = organisations[0].value if organisations else ""
    return str(name), str(organisation), loaded.not_valid_after_utc


def _address(config: dict[str, Any], role: Role) -> tuple[str, int, str]:
    """Return where the server listens, and its name."""
    if role == "operator":
        host, port = str(config["admin"]["host"]), int(config["admin"]["port"])
        server = str(config["admin"]["server_identity"])
    else:
        host, _, text = str(config["servers"][0]["service"]["target"]).rpartition(":")
        port = int(text)
        server = str(config["servers"][0].get("identity", host))
    if not host or not 0 < port < 1 << 16:
        raise ValueError(f"the server's address is {host}:{port}")
    return host, port, server


def _tls(startup: Path, base: str) -> ssl.SSLContext:
    authority, certificate, key = (
        startup / f for f in ("rootCA.pem", f"{base}.crt", f"{base}.key")
    )
    for path in (authority, certificate, key):
        path.open("rb").close()  # names the one that is missing, as the next lines do not
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the engine compares the certificate's name with the kit's
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise ValueError(f"{authority.name} is no certificate") from error
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ValueError(f"{key.name} is no key of {certificate.name}") from error
    return context
