"""The adapter's parts, each without a running engine."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

import machines
from provisioning import PROJECT, free_port, provision
from thrum.errors import ConfigError, FederationError, StorageError, ThrumError
from thrum.federation.flare import kit as kits
from thrum.federation.flare.engine import ARRAYS_IN_ANSWERS, Engine
from thrum.federation.flare.kit import Kit, reachable, read_kit, require_free_port, server_kits
from thrum.federation.flare.operator import write_job
from thrum.federation.flare.policy import write_policy
from thrum.federation.flare.process import PROCESS
from thrum.federation.flare.rounds import open_site, take_part
from thrum.federation.flare.settings import (
    VARIABLE,
    ServerSettings,
    SiteSettings,
    read_registry,
    read_settings,
    write_settings,
)
from thrum.federation.flare.state import LogReader, ProgressLog
from thrum.federation.ledger import Ledger
from thrum.federation.messages import VERSION
from thrum.systems.embedding_sharing import PRESETS

pytest.importorskip("nvflare")
HELLO = {"protocol": list(VERSION), "algorithm": 1}


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory, port: int) -> Path:
    return provision(tmp_path_factory.mktemp("kits") / "real", port=port)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, port: int) -> Path:
    return provision(tmp_path_factory.mktemp("kits") / "foreign", port=port)


# Kits


def test_kits_made_as_the_instructions_say_are_readable_by_their_maker_only(tmp_path: Path) -> None:
    shutil.copytree(PROJECT.parent, tmp_path / "deploy")
    blocks = (PROJECT.parent / "README.md").read_text().split("```")
    (commands,) = [block for block in blocks if "nvflare provision" in block]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["sh", "-ec", commands],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        check=True,
        capture_output=True,
        timeout=120,
    )
    keys = [
        file
        for file in (tmp_path / "kits").rglob("*")
        if file.is_file() and b"PRIVATE KEY" in file.read_bytes()
    ]
    assert {file.name for file in keys} == {"cert.json", "server.key", "client.key"}
    assert not [file for file in keys if file.stat().st_mode & 0o077]


def test_a_kit_says_who_it_is_and_where_the_server_is(provisioned: Path, port: int) -> None:
    kit = read_kit(provisioned / "north", role="site")
    assert (kit.name, kit.organisation, kit.host, kit.port) == ("north", "north", "localhost", port)
    server, operator = server_kits(provisioned)
    assert (server.name, operator.name) == ("localhost", "operator@example.org")


def test_a_kit_of_another_role_is_refused(provisioned: Path) -> None:
    with pytest.raises(ConfigError, match="holds the kit of a server, wanted that of a site"):
        read_kit(provisioned / "localhost", role="site")
    with pytest.raises(ConfigError, match="holds no kit"):
        read_kit(provisioned, role="site")
    with pytest.raises(ConfigError, match="0 kits of a server"):
        server_kits(provisioned / "north")


def test_a_damaged_kit_is_named(provisioned: Path, tmp_path: Path) -> None:
    startup = tmp_path / "kit" / "startup"
    startup.mkdir(parents=True)
    (startup / "fed_client.json").write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        read_kit(tmp_path / "kit", role="site")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rootCA.pem", None, "No such file .*rootCA.pem"),
        ("rootCA.pem", "x", "rootCA.pem is no certificate"),
        ("client.key", None, "No such file .*client.key"),
        ("client.key", "", "client.key is no key of client.crt"),
    ],
)
def test_a_damaged_kit_is_found_before_any_work(
    provisioned: Path, tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    kit = shutil.copytree(provisioned / "north", tmp_path / "kit")
    broken = kit / "startup" / name
    if content is None:
        broken.unlink()
    else:
        broken.write_text(content)
    with pytest.raises(ConfigError, match=f"the kit in {kit} is damaged .*{reason}"):
        read_kit(kit, role="site")


@pytest.mark.parametrize("address", [":8002", "localhost:0", "localhost:70000", "localhost:x"])
def test_a_kit_without_an_address_is_damaged(
    provisioned: Path, tmp_path: Path, port: int, address: str
) -> None:
    kit = shutil.copytree(provisioned / "north", tmp_path / "kit")
    path = kit / "startup" / "fed_client.json"
    path.write_text(path.read_text().replace(f"localhost:{port}", address))
    with pytest.raises(ConfigError, match="damaged"):
        read_kit(kit, role="site")


def test_a_name_that_leads_nowhere_is_said_at_once(
    provisioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(code: int) -> Callable[..., None]:
        def lookup(*_: object, **__: object) -> None:
            raise socket.gaierror(code, "Name or service not known")

        return lookup

    kit = read_kit(provisioned / "north", role="site")
    monkeypatch.setattr(socket, "getaddrinfo", unknown(socket.EAI_NONAME))
    with pytest.raises(FederationError, match="the server's name 'localhost' is not known here"):
        reachable(kit)
    monkeypatch.setattr(socket, "getaddrinfo", unknown(socket.EAI_AGAIN))
    assert not reachable(kit)  # the network is away for the moment


def test_what_is_wrong_with_a_kit_is_said_before_anything_is_embedded(
    provisioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = machines.write_sound(tmp_path / "data", machines=1, clips=2)
    kit = replace(read_kit(provisioned / "north", role="site"), host="nowhere")

    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(FederationError, match="'nowhere' is not known"):
        take_part(
            kit,
            SiteSettings("north", data, tmp_path / "out"),
            tell=lambda line: None,
            progress=lambda stage, done, total: None,
        )
    assert not (tmp_path / "out").exists()


def test_a_kit_whose_time_is_over_is_refused(
    provisioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = SimpleNamespace(now=lambda zone: real.now(zone).replace(year=real.now(zone).year + 2))
    real = kits.datetime
    monkeypatch.setattr(kits, "datetime", later)
    with pytest.raises(ConfigError, match="is valid from .* today is"):
        read_kit(provisioned / "north", role="site")


@pytest.mark.parametrize(("days", "said"), [(29.5, "in 29 days"), (30.5, None)])
def test_the_end_of_a_certificate_is_said_a_month_ahead(
    provisioned: Path, days: float, said: str | None
) -> None:
    kit = read_kit(provisioned / "north", role="site")
    assert 300 < (kit.valid_until - datetime.now(UTC)).days <= 360  # the authority's is later
    warning = kit.warning(kit.valid_until - timedelta(days=days))
    assert (warning is None) if said is None else (said in str(warning))


def test_a_command_begins_with_the_warning(provisioned: Path, tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(days=3)
    kit = replace(read_kit(provisioned / "north", role="site"), host="256.0.0.1", valid_until=soon)
    told: list[str] = []
    with pytest.raises(FederationError, match="is not known here"):
        take_part(
            kit,
            SiteSettings("north", tmp_path, tmp_path / "out"),
            tell=told.append,
            progress=lambda stage, done, total: None,
        )
    assert "in 2 days: ask the operator for a new kit" in told[0]


def test_a_kit_whose_settings_are_of_another_site_is_damaged(
    provisioned: Path, tmp_path: Path
) -> None:
    kit = shutil.copytree(provisioned / "north", tmp_path / "kit")
    path = kit / "startup" / "fed_client.json"
    path.write_text(path.read_text().replace('"north"', '"south"'))
    with pytest.raises(ConfigError, match="settings are of 'south', its certificate is of 'north'"):
        read_kit(kit, role="site")


def test_the_engine_s_command_lines_keep_paths_whole() -> None:
    import shlex

    from nvflare.apis.fl_constant import FLContextKey
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.job_launcher_spec import JobProcessArgs

    from thrum.federation.flare.launching import ServerLauncher, SiteLauncher

    for launcher, name in ((ServerLauncher, "APP_ROOT"), (SiteLauncher, "STARTUP_DIR")):
        context = FLContext()
        arguments = {
            JobProcessArgs.EXE_MODULE: ("-m", "nvflare.worker"),
            JobProcessArgs.WORKSPACE: ("-m", "/kits of 'this' year"),
            getattr(JobProcessArgs, name): ("-a", "/b c"),
            JobProcessArgs.OPTIONS: ("--set", "x=1 y=2"),
        }
        context.set_prop(FLContextKey.JOB_PROCESS_ARGS, arguments, private=True, sticky=False)
        words = shlex.split(launcher().get_command({}, context))[1:]
        watching = ["-m", PROCESS, str(os.getpid()), "nvflare.worker"]  # ends with this process
        assert words[:4] == watching
        assert sorted(words[4:]) == sorted(
            ["-m", "/kits of 'this' year", "-a", "/b c", "--set", "x=1", "y=2"]
        )


@contextmanager
def tls_server(kit: Kit, *, trusting: Path) -> Iterator[None]:
    """Listen as the server would: with its certificate, wanting one signed by `trusting`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kit.startup / "server.crt", kit.startup / "server.key")
    context.load_verify_locations(trusting)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", kit.port)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


def test_the_engine_knows_that_arrays_travel_in_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from nvflare.apis.fl_constant import ConfigVarName
    from nvflare.app_common.decomposers.numpy_decomposers import NumpyArrayDecomposer
    from nvflare.fuel.utils.app_config_utils import get_int_var

    name = NumpyArrayDecomposer()._config_var_name(ConfigVarName.DOWNLOAD_CHUNK_SIZE)
    monkeypatch.setenv(ARRAYS_IN_ANSWERS, "0")
    assert get_int_var(name, 1 << 21) == 0


def test_nobody_listens_yet(provisioned: Path) -> None:
    assert not reachable(read_kit(provisioned / "north", role="site"))


def test_server_and_site_trust_each_other(provisioned: Path) -> None:
    server, operator = server_kits(provisioned)
    with tls_server(server, trusting=server.startup / "rootCA.pem"):
        assert reachable(operator)


def test_a_server_of_another_authority_is_told_apart(provisioned: Path, foreign: Path) -> None:
    server, _ = server_kits(foreign)
    with (
        tls_server(server, trusting=server.startup / "rootCA.pem"),
        pytest.raises(FederationError, match="not the one of this kit"),
    ):
        reachable(read_kit(provisioned / "north", role="site"))


def test_another_participant_in_the_server_s_place_is_named(provisioned: Path) -> None:
    """Its certificate is of the right authority; the engine would refuse it, and wait in silence."""
    server, operator = server_kits(provisioned)
    with (
        tls_server(server, trusting=server.startup / "rootCA.pem"),
        pytest.raises(FederationError, match="is 'localhost', the kit's server is 'hub.example'"),
    ):
        reachable(replace(operator, server="hub.example"))


def test_a_certificate_of_another_authority_is_refused(provisioned: Path, foreign: Path) -> None:
    server, _ = server_kits(provisioned)
    with (
        tls_server(server, trusting=foreign / "north" / "startup" / "rootCA.pem"),
        pytest.raises(FederationError, match="refused the certificate of 'north'"),
    ):
        reachable(read_kit(provisioned / "north", role="site"))


def test_a_port_in_use_is_named(provisioned: Path) -> None:
    server, _ = server_kits(provisioned)
    require_free_port(server)
    with (
        socket.create_server(("127.0.0.1", server.port)),
        pytest.raises(FederationError, match=f"port {server.port} is in use"),
    ):
        require_free_port(server)


# What a machine lets the engine do


def classes_in(content: Any) -> set[str]:
    """Return every class that a job's description names."""
    if isinstance(content, dict):
        own = {content["path"]} if "path" in content else set()
        return own.union(*(classes_in(value) for value in content.values()))
    if isinstance(content, list):
        return set().union(*(classes_in(value) for value in content))
    return set()


def test_a_job_brings_no_code_and_only_what_both_sides_allow(
    provisioned: Path, tmp_path: Path
) -> None:
    write_job(tmp_path / "job", ["north", "south"])
    files = [path for path in (tmp_path / "job").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json"}
    meta = json.loads((tmp_path / "job" / "meta.json").read_text())
    assert meta["mandatory_clients"] == ["north", "south"]
    named = set().union(*(classes_in(json.loads(path.read_text())) for path in files))
    server, _ = server_kits(provisioned)
    for kit in (server, read_kit(provisioned / "north", role="site")):
        write_policy(kit, log=tmp_path / "log.txt")
        resources = json.loads((kit.folder / "local" / "resources.json").read_text())
        assert set(resources["class_allow_list"]) == named
        assert resources["class_list_enforcement_mode"] == "enforce"
        rights = json.loads((kit.folder / "local" / "authorization.json").read_text())
        assert {right["byoc"] for right in rights["permissions"].values()} == {"none"}


# Settings


def test_settings_reach_the_engine_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = {"north": ("fan/id_00", "pump/id_00")}
    settings = ServerSettings(
        tmp_path, registry, algorithm=2, seed=3, per_machine_type=True, config=PRESETS["compact"]
    )
    write_settings(tmp_path / "settings.json", settings)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "settings.json"))
    assert read_settings(ServerSettings) == settings
    assert settings.keys == {"north": [("fan", "id_00"), ("pump", "id_00")]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "wanted a table"),
        ('north = ["fan/id_00"]', "wanted a table"),
        ('[sites]\nnorth = "fan/id_00"', "wanted a list"),
        ('[sites]\nnorth = ["fan"]', "wanted machine/machine_id"),
        ('[sites]\nnorth = ["fan/../x"]', "refused"),
        ('[sites]\nnorth = ["a/b"]\nsouth = ["a/b"]', "registered to north and to south"),
    ],
)
def test_a_registry_that_cannot_be_used_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "sites.toml").write_text(content)
    with pytest.raises(ThrumError, match=message):
        read_registry(tmp_path / "sites.toml")


def test_progress_crosses_from_one_process_to_another(tmp_path: Path) -> None:
    ProgressLog(tmp_path)("an earlier round", 1, 1)
    seen: list[tuple[str, int, int]] = []
    reader = LogReader(tmp_path, lambda stage, done, total: seen.append((stage, done, total)))
    log = ProgressLog(tmp_path)
    for done in range(1, 1001):
        log("training", done, 1000)
    log("sending", 1, 1)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"stage": "half a li')
    reader.poll()
    assert seen[-2:] == [("training", 1000, 1000), ("sending", 1, 1)]
    assert len(seen) < 100  # five lines a second, not one a step
    reader.poll()
    assert seen[-1] == ("sending", 1, 1)


# The endpoints


class Line:
    """The engine's handle of a site, whose calls fail as often as it is told."""

    def __init__(self, failures: int, reply: Mapping[str, Any]) -> None:
        self.failures = failures
        self.reply = reply
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, *, timeout: float) -> Line:
        assert timeout > 0
        return self

    def present(self) -> dict[str, Any]:
        return {}

    def answer(self, *, question: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        from nvflare.collab import CollabCallError

        self.asked.append((question, arguments))
        if len(self.asked) <= self.failures:
            raise CollabCallError("north", "answer", TimeoutError("no answer"))
        return self.reply


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Callable[[Line], Any]:
    from thrum.federation.flare import endpoints

    monkeypatch.setattr(endpoints, "PAUSE_SECONDS", 0.0)
    return lambda line: endpoints.RemoteSite("north", line, answer_seconds=1.0)


def test_a_question_is_asked_again_where_the_network_fails(remote: Callable[[Line], Any]) -> None:
    line = Line(2, {"answer": {"pieces": []}})
    assert remote(line).manifest("train") == {"pieces": []}
    assert line.asked == [("manifest", {"split": "train"})] * 3


def test_a_site_that_stays_silent_is_named(remote: Callable[[Line], Any]) -> None:
    with pytest.raises(FederationError, match=r"site 'north' was lost: 'chunk' failed 3 times"):
        remote(Line(3, {})).chunk("train", "f" * 64)


def test_a_failed_answer_is_not_asked_for_again(remote: Callable[[Line], Any]) -> None:
    line = Line(0, {"failed": "StorageError"})
    with pytest.raises(FederationError, match=r"'north' could not answer .*StorageError"):
        remote(line).describe(VERSION, 1)
    assert len(line.asked) == 1


@pytest.fixture
def asked_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """A site's endpoint, asked by whom one says."""
    from nvflare.collab.api.context import get_call_context, set_call_context

    from thrum.federation.flare.endpoints import SiteEndpoint

    data = machines.write_sound(tmp_path / "data", machines=1)
    write_settings(tmp_path / "settings.json", SiteSettings("north", data, tmp_path / "out"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "settings.json"))
    before = get_call_context()

    def as_caller(name: str) -> SiteEndpoint:
        set_call_context(SimpleNamespace(caller=name, app=SimpleNamespace(name="north")))
        return SiteEndpoint()

    yield as_caller
    set_call_context(before)


def test_a_site_answers_the_server_only(asked_by: Callable[[str], Any], tmp_path: Path) -> None:
    """The engine lets sites call each other; embeddings are for the server."""
    site = asked_by("south")
    assert site.answer(question="describe", arguments=HELLO) == {}
    assert site.conclude(state="done", outcome={}) == {}
    assert not (tmp_path / "out").exists()
    open_site(read_settings(SiteSettings)).prepare()
    assert "answer" in asked_by("server").answer(question="describe", arguments=HELLO)


@pytest.mark.parametrize("question", ["score", "__init__", "prepare", "forget", ["x"], None, {}])
def test_a_site_answers_no_other_questions(asked_by: Callable[[str], Any], question: Any) -> None:
    assert asked_by("server").answer(question=question, arguments={}) == {"failed": "ProtocolError"}


def test_the_reason_of_a_failure_stays_at_the_site(
    asked_by: Callable[[str], Any], tmp_path: Path
) -> None:
    for recording in (tmp_path / "data").rglob("*.wav"):
        recording.unlink()
    reply = asked_by("server").answer(question="describe", arguments=HELLO)
    assert reply == {"failed": "DatasetError"}
    assert (
        str(tmp_path / "data")
        in json.loads((tmp_path / "out" / "round.json").read_text())["failure"]
    )
    (entry,) = Ledger(tmp_path / "out" / "ledger.jsonl").entries()
    assert (entry.what, entry.detail) == ("failure", "describe: DatasetError")
    assert entry.n_bytes == len("DatasetError")


def test_a_site_that_cannot_keep_its_ledger_says_nothing(
    asked_by: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, remote: Callable[[Line], Any]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("no space left on device")

    site = asked_by("server")
    monkeypatch.setattr(Ledger, "record", full)
    reply = site.answer(question="describe", arguments=HELLO)
    assert reply == {}
    with pytest.raises(FederationError, match=r"could not answer 'describe' \(it does not say"):
        remote(Line(0, reply)).describe(VERSION, 1)


def test_the_site_s_own_settings_decide_whether_test_clips_may_leave(
    asked_by: Callable[[str], Any], tmp_path: Path
) -> None:
    site = asked_by("server")
    settings = read_settings(SiteSettings)
    open_site(settings).prepare()
    ask = {"question": "manifest", "arguments": {"split": "test"}}
    assert site.answer(**ask) == {"failed": "ProtocolError"}
    write_settings(tmp_path / "settings.json", replace(settings, algorithm=2, sharing="embeddings"))
    pieces = asked_by("server").answer(**ask)["answer"]["pieces"]
    assert [len(piece["places"]) for piece in pieces] == [5]


def test_the_server_learns_what_a_reader_of_the_round_must_know(tmp_path: Path) -> None:
    from thrum.federation.flare.endpoints import _collaborate

    data = machines.write_sound(tmp_path / "data", machines=1)
    for embedder, note in (
        ("logmel", "embeddings of LogMel leave as 'frames'"),
        ("modulation", "of a clip's mean spectrum"),
    ):
        site = open_site(
            SiteSettings(
                "north", data, tmp_path / embedder, embedder, device="cpu", sharing="embeddings"
            )
        )
        site.prepare()
        registry = {"north": ("machine0/id_00",)}
        settings = ServerSettings(tmp_path / "hub", registry, device="cpu", sharing="embeddings")
        alone, *further = _collaborate(settings, {"north": site})["notes"]  # type: ignore[dict-item]
        assert "machine0/id_00 is alone" in alone
        assert [note in line for line in further if "embeddings" in line] == [True]


def test_a_server_s_error_goes_to_no_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its text may name the server's folders and other sites; the operator reads it in round.json."""
    from thrum.federation.flare import endpoints

    told: list[Any] = []

    class Listening:
        name = "north"

        def __call__(self, *, timeout: float) -> Listening:
            return self

        def conclude(self, **words: Any) -> None:
            told.append(words)

    def full(*_: object) -> None:
        raise StorageError("cannot write /srv/secret/pieces: no space left; site 'south' was lost")

    monkeypatch.setattr(endpoints, "_collaborate", full)
    monkeypatch.setattr(endpoints, "collab", SimpleNamespace(clients=[Listening()]))
    settings = ServerSettings(tmp_path / "hub", {"north": ("fan/id_00",)})
    write_settings(tmp_path / "settings.json", settings)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "settings.json"))
    endpoints.ServerEndpoint().run()
    assert told == [
        {"state": "stopped", "outcome": {"seed": 0, "algorithm": 1, "kind": "StorageError"}}
    ]
    kept = json.loads((tmp_path / "hub" / "round.json").read_text())
    assert "/srv/secret" in kept["reason"]

    def nowhere(*_: object, **__: object) -> None:
        raise StorageError("no space left on device")

    monkeypatch.setattr(endpoints, "write_state", nowhere)
    endpoints.ServerEndpoint().run()  # the engine tells the command that it ended
    assert len(told) == 2


@pytest.mark.parametrize(
    ("state", "outcome", "kept"),
    [
        ("done", {"seed": 3, "algorithm": 2, "kind": "x", "later": 1}, {"seed": 3, "algorithm": 2}),
        ("stopped", {"kind": "OSError"}, {"reason": "the server stopped the round (OSError; its"}),
        ("stopped", {"kind": "\x1b[2J"}, None),
        ("done", {"seed": "x"}, None),
        ("done", {"failure": "\x1b[2J", "seed": -1}, None),
        ("done", [], None),
        ("won", {}, None),
        (["done"], {}, None),
    ],
)
def test_only_an_end_that_is_understood_ends_a_round(
    asked_by: Callable[[str], Any], tmp_path: Path, state: Any, outcome: Any, kept: Any
) -> None:
    assert asked_by("server").conclude(state=state, outcome=outcome) == {}
    path = tmp_path / "out" / "round.json"
    if kept is None:
        assert not path.exists()
        return
    noted = json.loads(path.read_text())
    assert noted["state"] == state
    assert all(str(noted[name]).startswith(str(value)) for name, value in kept.items())


def test_a_damaged_key_of_the_ledger_ends_no_round_and_is_said(
    asked_by: Callable[[str], Any], tmp_path: Path
) -> None:
    open_site(read_settings(SiteSettings)).prepare()
    site = asked_by("server")
    assert "answer" in site.answer(question="describe", arguments=HELLO)
    key = tmp_path / "out" / "ledger.key"
    key.write_bytes(b"x" * 40)
    assert site.conclude(state="done", outcome={"seed": 3, "algorithm": 1}) == {}
    noted = json.loads((tmp_path / "out" / "round.json").read_text())
    assert noted["state"] == "done"
    assert f"signing the ledger: {key} is damaged" in noted["failure"]


# Processes


def test_a_kit_runs_once_at_a_time(provisioned: Path, tmp_path: Path) -> None:
    kit = read_kit(provisioned / "south", role="site")
    engine = Engine(kit, SiteSettings("south", tmp_path, tmp_path / "out"))
    with (kit.folder / "thrum.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(FederationError, match="another thrum command runs with the kit"),
            engine,
        ):
            pass
    assert not (tmp_path / "out").exists()


def test_starting_removes_what_the_engine_left_and_nothing_else(
    provisioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = read_kit(provisioned / "south", role="site")
    left = ["jobs", "snapshots", "6ca5ba8c-e733-4fc0-9028-378ec249fe52"]
    kept = ["recordings", "startup", "local"]
    for name in left + kept:
        (kit.folder / name).mkdir(exist_ok=True)
    monkeypatch.setattr(Engine, "start", lambda engine: None)
    with Engine(kit, SiteSettings("south", tmp_path, tmp_path / "out")):
        assert not any((kit.folder / name).exists() for name in left)
        assert all((kit.folder / name).exists() for name in kept)


@pytest.mark.parametrize("late", [0, 3], ids=["while it works", "before its first line"])
def test_a_process_of_the_engine_ends_with_the_one_that_started_it(
    tmp_path: Path, late: int
) -> None:
    """Killed together with all that could tell it, also where it has not begun to run."""
    (tmp_path / "worker.py").write_text("import time\ntime.sleep(60)\n")
    parent = (
        "import os, subprocess, sys, time\n"
        f"words = ['sleep {late}; exec \"$0\" \"$@\"', sys.executable, '-m', {PROCESS!r}]\n"
        "child = subprocess.Popen(['sh', '-c', *words, str(os.getpid()), 'worker'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        assert process.stdout is not None
        watched = psutil.Process(int(process.stdout.readline()))
        process.stdout.close()
        deadline = time.monotonic() + 30
        while not late and watched.num_threads() == 1:  # it has not begun to watch
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    watched.wait(30)
    assert not watched.is_running()
