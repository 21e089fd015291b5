"""A control system reads how machines are, with a client of asyncua, and can change nothing."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from provisioning import free_port
from thrum.errors import ConfigError
from thrum.service.config import Settings
from thrum.service.rules import Standing
from thrum.service.running import Service
from thrum.service.store import clips, machines, views
from thrum.service.telling import OpcUaSettings
from watched import MACHINE, MakeService, Sounds, bring, judge_all

asyncua = pytest.importorskip("asyncua", reason="thrum[opcua] is not installed")
NAMES = ("State", "Alarm", "AlarmTime", "Score", "P", "HeardAt")


async def values(client: Any) -> dict[str, Any]:
    from asyncua import ua

    index = await client.get_namespace_index("urn:thrum:monitor:1")
    nodes = [client.get_node(ua.NodeId(f"{MACHINE}/{name}", index)) for name in NAMES]
    told = [await node.read_data_value(raise_on_bad_status=False) for node in nodes]
    return {
        name: (each.Value.Value, each.StatusCode.name)
        for name, each in zip(NAMES, told, strict=True)
    }


async def until(client: Any, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 20
    while not true(told := await values(client)):
        assert time.monotonic() < end, told
        await asyncio.sleep(0.1)
    return told


@pytest.mark.filterwarnings("ignore::DeprecationWarning:asyncua")
def test_a_client_reads_a_machine_from_waiting_to_alarm_to_unheard_and_changes_nothing(
    make_service: MakeService, sounds: Sounds
) -> None:
    from asyncua import Client
    from asyncua.ua.uaerrors import UaStatusCodeError

    service = make_service(opcua=OpcUaSettings(port=free_port()))
    sender = service.senders[-1]
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()

    async def look() -> None:
        client = await _connected(lambda: Client(sender.address, timeout=10))
        first = await values(client)
        assert first["State"] == ("waiting", "Good")
        assert first["Alarm"] == (False, "Good")
        assert math.isnan(first["Score"][0])
        assert first["AlarmTime"][0].year == 1601
        await asyncio.to_thread(_alarm, service, sounds)
        raised = await until(client, lambda told: told["State"][0] == "alarm")
        with service.database.reading() as connection:
            alarm = views.alarms_of(connection)[0]
            view = views.fleet(connection, [MACHINE])[0]
        assert raised["Alarm"] == (True, "Good")
        at = raised["AlarmTime"][0].replace(tzinfo=UTC).timestamp()
        assert at == pytest.approx(alarm["raised_at"], abs=1e-3)
        assert raised["Score"] == (view.score, "Good")
        assert raised["P"] == (view.p, "Good")
        heard = raised["HeardAt"][0].replace(tzinfo=UTC).timestamp()
        assert heard == pytest.approx(view.heard_at, abs=1e-3)

        with service.database.writing() as connection:
            before = service.watched[MACHINE].standing
            machines.set_standing(connection, MACHINE, before, Standing("well"), 1.0)
            for name in service.inputs:
                clips.set_health(connection, name, "gone", "", 1.0)
        lost = await until(client, lambda told: told["State"][0] == "unheard")
        assert lost["Score"] == (view.score, "UncertainLastUsableValue")

        await client.disconnect()
        for name in (None, "admin"):
            for intrude in (_write, _add, _delete):
                intruder = Client(sender.address, timeout=10)
                if name:
                    intruder.set_user(name)
                await intruder.connect()
                with pytest.raises((UaStatusCodeError, ConnectionError)):
                    await intrude(intruder)
                with contextlib.suppress(UaStatusCodeError, ConnectionError):
                    await intruder.disconnect()
        client = await _connected(lambda: Client(sender.address, timeout=10))
        assert (await values(client))["State"] == ("unheard", "Good")
        children = await client.nodes.objects.get_children()
        assert "intruder" not in {(await each.read_browse_name()).Name for each in children}
        await client.disconnect()

    try:
        asyncio.run(look())
    finally:
        sender.end()
        thread.join(10)
    assert not thread.is_alive()
    assert sender.trouble == ""


async def _write(client: Any) -> None:
    await (await _state(client)).write_value("well")


async def _add(client: Any) -> None:
    await client.nodes.objects.add_object(2, "intruder")


async def _delete(client: Any) -> None:
    await (await _state(client)).delete()


async def _state(client: Any) -> Any:
    from asyncua import ua

    index = await client.get_namespace_index("urn:thrum:monitor:1")
    return client.get_node(ua.NodeId(f"{MACHINE}/State", index))


async def _connected(make: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while True:
        client = make()
        try:
            await client.connect()
            return client
        except OSError:
            assert time.monotonic() < end
            await asyncio.sleep(0.2)


def _alarm(service: Service, sounds: Sounds) -> None:
    bring(service, sounds("wwffffff"))
    judge_all(service)


@pytest.mark.slow
def test_a_port_that_is_taken_is_said(make_service: MakeService) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        service = make_service(opcua=OpcUaSettings(port=taken.getsockname()[1]))
        sender = service.senders[-1]
        thread = threading.Thread(target=sender.run, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not sender.trouble:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert "cannot be served" in service.troubles[0]
        assert not service.ills
        sender.end()
        thread.join(15)


def test_a_port_that_is_none_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="opcua port is 0"):
        replace(settings, opcua=OpcUaSettings(port=0))
