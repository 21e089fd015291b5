"""Scores between rounds: to the bit those of the round, for the site's own machines, each question once."""

from __future__ import annotations

import base64
import csv
import datetime
import http.client
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

import machines
import thrum
from thrum.cli.main import app
from thrum.errors import FederationError, ProtocolError
from thrum.federation.ledger import Ledger
from thrum.federation.locking import locked
from thrum.federation.scoring.admission import WINDOW_SECONDS, Admission
from thrum.federation.scoring.asking import Counter, _question, ask_scores, score_new
from thrum.federation.scoring.kept import KeptNetworks, NewestNetworks
from thrum.federation.scoring.messages import LARGEST_BYTES, decoded_question, encoded
from thrum.federation.scoring.service import PATH, SIGNATURE, ScoreService
from thrum.federation.scoring.signing import require_signed, signed
from thrum.systems.embedding_sharing import IDClassifier

SITE, KEY = "machine0_id_00", ("machine0", "id_00")
OTHER = "machine1_id_00"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """Who signs certificates; ``folder/<name>.crt`` and ``.key`` are made for each name."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def made(cls, folder: Path) -> Authority:
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        own = cls(
            folder, key, _certificate("authority", key.public_key(), "authority", key, ca=True)
        )
        (folder / "rootCA.pem").write_bytes(
            own.certificate.public_bytes(serialization.Encoding.PEM)
        )
        return own

    def certify(self, name: str, key: Key, *, file: str = "") -> None:
        certificate = _certificate(name, key.public_key(), "authority", self.key, ca=False)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (self.folder / f"{file or name}.crt").write_bytes(pem)
        (self.folder / f"{file or name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def counter(self, name: str, port: int) -> Counter:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_verify_locations(self.folder / "rootCA.pem")
        tls.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        key = self.folder / f"{name}.key"
        return Counter("localhost", port, tls, key, name, lambda certificate: None)


def _certificate(
    name: str, public: object, issuer: str, key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A round of Algorithm 2 in one process: the server's store, and two sites."""
    root = tmp_path_factory.mktemp("asking")
    data = machines.write_sound(root / "data", machines=2, clips=12, seconds=1.5, anomalies=3)
    words = ["collaborate", "simulate", "--data", str(data), "--out", str(root / "out")]
    words += ["--sharing", "embeddings", "--algorithm", "2", "--embedder", "logmel", "--no-report"]
    done = CliRunner().invoke(app, [*words, "--set", "epochs=1", "--set", "members=2"])
    assert done.exit_code == 0, done.output
    return root / "out"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    own = Authority.made(tmp_path_factory.mktemp("kits") / "startup")
    own.certify("localhost", ec.generate_private_key(ec.SECP256R1()), file="server")
    own.certify(SITE, rsa.generate_private_key(65537, 2048))
    own.certify(OTHER, ec.generate_private_key(ec.SECP256R1()))
    return own


@pytest.fixture(scope="module")
def kept(out: Path) -> KeptNetworks:
    return KeptNetworks(out / "server", device="cpu")


@pytest.fixture(scope="module")
def port(authority: Authority, kept: KeptNetworks) -> Iterator[int]:
    """Where the service listens."""
    admission = Admission(kept, clock=time.time)
    with ScoreService(("127.0.0.1", 0), authority.folder, admission) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield int(service.server_address[1])
        service.shutdown()


def clips(count: int = 2, dimensions: int = 128) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(40, dimensions)).astype(np.float16) for _ in range(count)]


def test_new_clips_score_as_the_round_scored_them(
    out: Path, authority: Authority, port: int
) -> None:
    site = out / "sites" / SITE
    with (out / "scores" / f"{SITE}.csv").open() as file:
        rows = list(csv.DictReader(file))
    monitor = thrum.open_monitor(site, device="cpu")
    data = out.parent / "data" / "machine0"
    test = [one.clip for one in monitor.judge([data]) if not monitor.knows(one.clip)]
    before = len(Ledger(site / "ledger.jsonl").entries())
    pairs, network = score_new(site, KEY, test, authority.counter(SITE, port))
    assert len(rows) == len(test) >= 6
    for row in rows:
        place = next(n for n, clip in enumerate(test) if str(clip.path).endswith(row["clip"]))
        for method in ("network", "fused", "statistics"):
            assert pairs[method].test[place] == float(row[method])
    assert network.held_out
    entries = Ledger(site / "ledger.jsonl").entries()[before:]
    assert [entry.what for entry in entries] == ["embeddings"]
    assert entries[0].clips == len(test)
    assert entries[0].embedder == "LogMel"
    assert "new clips, to be scored by the server" in entries[0].detail


def test_many_clips_travel_in_parts(
    authority: Authority, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thrum.federation.scoring import asking

    counter, ledger = authority.counter(SITE, port), Ledger(tmp_path / "ledger.jsonl")
    some = clips(5)
    whole = ask_scores(counter, KEY, some, ledger, embedder="LogMel", chain="frames")
    monkeypatch.setattr(asking, "BYTES_AT_ONCE", 2 * some[0].nbytes)
    parts = ask_scores(counter, KEY, some, ledger, embedder="LogMel", chain="frames")
    np.testing.assert_array_equal(parts.scores.test, whole.scores.test)
    np.testing.assert_array_equal(parts.scores.left_out, whole.scores.left_out)
    assert [entry.clips for entry in ledger.entries()] == [5, 2, 2, 1]
    monkeypatch.setattr(asking, "LARGEST_BYTES", 1 << 16)
    with pytest.raises(FederationError, match="shorter clips"):
        ask_scores(counter, KEY, some, ledger, embedder="LogMel", chain="frames")


def post(counter: Counter, body: bytes, signature: bytes, **headers: str) -> int:
    """Return the status that the service answers."""
    connection = http.client.HTTPSConnection(
        counter.host, counter.port, context=counter.tls, timeout=20
    )
    try:
        told = {SIGNATURE: base64.b64encode(signature).decode(), **headers}
        connection.request("POST", PATH, body, told)
        return connection.getresponse().status
    finally:
        connection.close()


def test_each_question_is_answered_once(authority: Authority, port: int) -> None:
    counter = authority.counter(SITE, port)
    body = encoded(_question(SITE, KEY, clips()))
    signature = signed(body, counter.key)
    assert post(counter, body, signature) == http.client.OK
    assert post(counter, body, signature) == http.client.FORBIDDEN


def test_what_is_not_the_site_s_is_refused(authority: Authority, port: int, tmp_path: Path) -> None:
    own, other = authority.counter(SITE, port), authority.counter(OTHER, port)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(FederationError, match="refused the question of 'machine1_id_00'"):
        ask_scores(other, KEY, clips(), ledger, embedder="LogMel", chain="frames")
    in_its_name = encoded(_question(SITE, KEY, clips()))
    assert post(other, in_its_name, signed(in_its_name, other.key)) == http.client.FORBIDDEN
    assert post(own, in_its_name, signed(in_its_name, other.key)) == http.client.FORBIDDEN
    assert post(own, in_its_name[:-1] + b"0", signed(in_its_name, own.key)) == http.client.FORBIDDEN
    assert post(own, in_its_name, b"") == http.client.FORBIDDEN
    assert post(own, in_its_name, signed(in_its_name, own.key)) == http.client.OK  # as it should be


def test_who_has_no_certificate_of_the_authority_gets_no_word(
    authority: Authority, port: int, tmp_path: Path
) -> None:
    forged = Authority.made(tmp_path / "forged")
    forged.certify(SITE, ec.generate_private_key(ec.SECP256R1()))
    (forged.folder / "rootCA.pem").write_bytes((authority.folder / "rootCA.pem").read_bytes())
    stranger = forged.counter(SITE, port)  # it trusts the server, which does not trust it
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(FederationError, match="no scores came from localhost"):
        ask_scores(stranger, KEY, clips(), ledger, embedder="LogMel", chain="frames")
    counter = authority.counter(SITE, port)
    doubting = replace(counter, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    doubting.tls.check_hostname = False
    with pytest.raises(FederationError, match="is not the server of this kit"):
        ask_scores(doubting, KEY, clips(), ledger, embedder="LogMel", chain="frames")
    nobody = authority.counter(SITE, 1)
    with pytest.raises(FederationError, match="serve-scores running there"):
        ask_scores(nobody, KEY, clips(), ledger, embedder="LogMel", chain="frames")


def test_too_much_or_too_little_is_refused(authority: Authority, port: int) -> None:
    counter = authority.counter(SITE, port)
    for length in (str(LARGEST_BYTES * 2), "-1", "many", "9" * 30):
        assert post(counter, b"", b"", **{"Content-Length": length}) == http.client.FORBIDDEN
    for body in (b"", b"\xc1", b"\x93" * 2000, encoded(msgspec.defstruct("Empty", [])())):
        assert post(counter, body, signed(body, counter.key)) == http.client.FORBIDDEN
    assert post(counter, b"", b"", **{SIGNATURE: "no base64!"}) == http.client.FORBIDDEN
    body = encoded(_question(SITE, KEY, clips()))
    assert post(counter, body, signed(body, counter.key)) == http.client.OK  # it goes on


def test_old_questions_and_those_before_its_time_are_refused(
    authority: Authority, kept: KeptNetworks
) -> None:
    now = 1e9
    admission = Admission(kept, clock=lambda: now)
    certificate = x509.load_pem_x509_certificate((authority.folder / f"{SITE}.crt").read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)

    def ask(at: float) -> None:
        question = msgspec.structs.replace(_question(SITE, KEY, clips(1)), time=at)
        body = encoded(question)
        signature = signed(body, authority.folder / f"{SITE}.key")
        admission.answer(body, signature, site=SITE, certificate=der)

    ask(now)
    ask(now + WINDOW_SECONDS - 1)
    with pytest.raises(ProtocolError, match="before this service began"):
        ask(now - 10)
    for late in (-WINDOW_SECONDS - 1, WINDOW_SECONDS + 1):
        with pytest.raises(ProtocolError, match="set its clock"):
            ask(now + late)
    now += 2 * WINDOW_SECONDS
    ask(now - 10)


def test_who_is_struck_off_is_answered_no_more(authority: Authority, kept: KeptNetworks) -> None:
    struck: list[str] = []

    def require(site: str) -> None:
        if site in struck:
            raise FederationError(f"site {site!r} is not in the list")

    admission = Admission(kept, clock=time.time, require_allowed=require)
    certificate = x509.load_pem_x509_certificate((authority.folder / f"{SITE}.crt").read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)

    def ask() -> None:
        body = encoded(_question(SITE, KEY, clips(1)))
        signature = signed(body, authority.folder / f"{SITE}.key")
        admission.answer(body, signature, site=SITE, certificate=der)

    ask()
    struck.append(SITE)
    with pytest.raises(ProtocolError, match="is not in the list"):
        ask()


def test_a_newer_round_is_served_without_a_restart(out: Path, tmp_path: Path) -> None:
    """While it runs the one before is; what cannot be read leaves that, too."""
    folder, told = tmp_path / "server", []
    shutil.copytree(out / "server", folder)
    newest = NewestNetworks(folder, device="cpu", told=told.append)
    before = newest.scores(SITE, KEY, clips())
    note = (folder / "scoring.json").read_bytes()
    (folder / "scoring.json").unlink()  # a round begins
    shutil.move(folder / "classifiers", tmp_path / "away")
    assert newest.scores(SITE, KEY, clips()) == before

    (folder / "scoring.json").write_bytes(note)
    assert newest.scores(SITE, KEY, clips()) == before
    assert "cannot be served yet" in told[-1]

    shutil.move(tmp_path / "away", folder / "classifiers")
    classifier = IDClassifier.load(folder / "classifiers" / "all")
    with torch.no_grad():
        for parameter in classifier.members[0].parameters():
            parameter *= 1.5
    classifier.save(folder / "classifiers" / "all")
    with locked(folder):  # the round has not let go of the store
        assert newest.scores(SITE, KEY, clips()) == before
    after = newest.scores(SITE, KEY, clips())
    assert after.test != before.test
    assert told[-1] == "the networks of a newer round are served from now on"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sha256": "0" * 64}, "damaged on the way"),
        ({"lengths": [40]}, "not of the lengths"),
        ({"dimensions": 64}, "not of the lengths"),
        ({"key": ("machine0", "../x")}, "is refused"),
        ({"site": ""}, "length >= 1"),
        ({"nonce": "x"}, "nonce"),
        ({"lengths": []}, "length >= 1"),
        ({"time": float("nan")}, "time|finite"),
    ],
)
def test_a_question_is_what_it_says(change: dict[str, object], complaint: str) -> None:
    told = msgspec.structs.asdict(_question(SITE, KEY, clips()))
    with pytest.raises(ProtocolError, match=complaint):
        decoded_question(msgspec.msgpack.encode({**told, **change})).clips()


def test_values_that_are_not_finite_and_other_embeddings_are_refused(kept: KeptNetworks) -> None:
    bad = clips()
    bad[1][3, 3] = np.nan
    with pytest.raises(ProtocolError, match="NaN"):
        _question(SITE, KEY, bad).clips()
    with pytest.raises(ProtocolError, match="64 dimensions, 128 were learnt"):
        kept.scores(SITE, KEY, clips(dimensions=64))
    with pytest.raises(ProtocolError, match="not its own here"):
        kept.scores(SITE, ("machine1", "id_00"), clips())


def test_a_signature_is_of_this_question_and_this_key(authority: Authority) -> None:
    for name in (SITE, OTHER):
        der = x509.load_pem_x509_certificate(
            (authority.folder / f"{name}.crt").read_bytes()
        ).public_bytes(serialization.Encoding.DER)
        signature = signed(b"a question", authority.folder / f"{name}.key")
        require_signed(b"a question", signature, der)
        for body, other in ((b"another", signature), (b"a question", signature[::-1])):
            with pytest.raises(ProtocolError, match="not signed"):
                require_signed(body, other, der)


def test_where_there_is_nothing_to_ask_it_is_said(
    out: Path, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(FederationError, match="no round of Algorithm 2 that is done"):
        KeptNetworks(tmp_path)
    counter = authority.counter(SITE, 1)
    with pytest.raises(FederationError, match="thrum score asks nobody"):
        score_new(tmp_path, KEY, [], counter)
    site = out / "sites" / SITE
    told = CliRunner().invoke(app, ["score", str(site), str(out.parent / "data" / "machine0")])
    assert "thrum collaborate score --kit KIT asks" in told.stderr
