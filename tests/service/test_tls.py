"""The service behind a certificate of its own making."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provisioning import free_port
from thrum.service import serving
from thrum.service.config import Settings
from thrum.service.store import people
from thrum.service.web import application
from watched import MakeService


def made_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "monitor")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "certificate.pem", folder / "key.pem"


def test_with_a_certificate_all_goes_over_https_alone(
    make_service: MakeService, settings: Settings, tmp_path: Path
) -> None:
    certificate, key = made_certificate(tmp_path)
    port = free_port()
    service = make_service(
        service=replace(settings.service, port=port, certificate=certificate, private_key=key)
    )
    assert serving.address(service) == f"https://127.0.0.1:{port}/"
    with service.database.writing() as connection:
        people.add(connection, "ada", "correct horse battery", "viewer", who="x", now=1.0)
    heard = []

    def announce() -> None:  # whoever reads the address may open it at once
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            heard.append(port)

    app = application.create(service, dashboard=False)
    server = serving.server(service, app, announce=announce)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 20
        while not heard:
            assert time.monotonic() < end
            time.sleep(0.02)
        trusted = ssl.create_default_context(cafile=certificate)
        asking = http.client.HTTPSConnection("127.0.0.1", port, context=trusted, timeout=10)
        asking.request("GET", "/health")
        assert asking.getresponse().read() == b'{"status": "well"}'
        asking.request("POST", "/login", "name=ada&password=correct+horse+battery")
        answer = asking.getresponse()
        answer.read()
        assert answer.status == 303
        assert "Secure" in str(answer.getheader("set-cookie"))
        asking.close()
        stranger = http.client.HTTPSConnection("127.0.0.1", port, timeout=10)
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/health")
        stranger.close()
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        plain.request("GET", "/health")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        plain.close()
    finally:
        server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()
