"""OPC UA: a node a machine, which control systems read; asyncua (LGPL) serves them and is only imported.

In the namespace ``urn:thrum:monitor:1``, under ``Objects/thrum``, each machine is an object with variables
whose names are ``<machine>/State`` and so on::

    State      how it is: well, suspicious, alarm, acknowledged, unheard, unknown, off or waiting
    Alarm      whether an alarm is open, acknowledged or not
    AlarmTime  when that was raised (UTC); 1601-01-01, which is OPC UA's "never", where none is
    Score, P   of the last clip; not a number before the first
    HeardAt    when the last clip ended that was judged; 1601-01-01 before the first

Score and P of a machine that nobody hears are *uncertain, last usable value*. Nothing can be written.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from thrum.errors import StorageError, UsageError
from thrum.sentences import Sentence
from thrum.service.config import Settings
from thrum.service.out.base import LOOK_SECONDS, Sender
from thrum.service.store import views
from thrum.service.store.database import Database
from thrum.service.troubles import trouble

NAMESPACE = "urn:thrum:monitor:1"
NEVER = datetime(1601, 1, 1)  # noqa: DTZ001 (times of OPC UA are UTC and know no zone)
AFTER_TROUBLE_SECONDS = 10.0

_logger = logging.getLogger(__name__)


class OpcUa(Sender):
    """Serves how machines are.

    Parameters
    ----------
    settings
        Of all.
    database, now
        The store, and the clock.

    Raises
    ------
    UsageError
        Where asyncua is not installed.
    """

    def __init__(self, settings: Settings, database: Database, now: Callable[[], float]) -> None:
        super().__init__("opcua", database, now)
        assert settings.opcua is not None
        try:
            import asyncua  # noqa: F401
        except ImportError as error:
            raise UsageError("[opcua] needs asyncua: pip install 'thrum[opcua]'") from error
        self.settings = settings
        self.own = settings.opcua
        self.address = f"opc.tcp://{self.own.host}:{self.own.port}/thrum"
        self._told: dict[str, tuple[Any, bool]] = {}

    def send(self, event: RowMapping) -> None:
        """Send nothing: who wants to know reads."""

    def run(self) -> None:
        """Serve until `end`; where the port cannot be had, or the server ends, try again."""
        while not self.ended.is_set():
            try:
                asyncio.run(self._serve())
            except (OSError, StorageError) as error:
                self.trouble = self._of(
                    Sentence("not_served", address=self.address, said=trouble(error))
                )
                _logger.error(self.trouble)
                self.ended.wait(AFTER_TROUBLE_SECONDS)

    async def _serve(self) -> None:
        from asyncua import Server, ua
        from asyncua.crypto.permission_rules import SimpleRoleRuleset

        server = Server(user_manager=_readers())
        await server.init()
        server.set_endpoint(self.address)
        server.set_server_name("thrum monitor")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity], SimpleRoleRuleset())
        index = await server.register_namespace(NAMESPACE)
        nodes = await self._made(server, index)
        self._told.clear()
        async with server:
            _logger.info("OPC UA at %s", self.address)
            while not self.ended.is_set():
                try:
                    wanted = await asyncio.to_thread(self._look)
                    self.trouble = ""
                    for name, (value, certain) in wanted.items():
                        if self._told.get(name) != (value, certain):
                            await nodes[name].write_value(_value(value, certain))
                            self._told[name] = (value, certain)
                except SQLAlchemyError as error:
                    self.trouble = self._of(trouble(error))
                await asyncio.sleep(LOOK_SECONDS)

    def _of(self, told: str) -> Sentence:
        return Sentence("of_channel", channel=self.channel, said=told)

    async def _made(self, server: Any, index: int) -> dict[str, Any]:
        from asyncua import ua

        root = await server.nodes.objects.add_object(ua.NodeId("thrum", index), "thrum")
        nodes = {}
        for machine in self.settings.machines:
            own = await root.add_object(
                ua.NodeId(machine.name, index), ua.QualifiedName(machine.name, index)
            )
            for what, first in _FIRST.items():
                name = f"{machine.name}/{what}"
                nodes[name] = await own.add_variable(
                    ua.NodeId(name, index), ua.QualifiedName(what, index), first
                )
        return nodes

    def _look(self) -> dict[str, tuple[Any, bool]]:
        """Return the value of each variable, and whether it is certain."""
        with self.database.reading() as connection:
            fleet = views.fleet(connection, [each.name for each in self.settings.machines])
            raised = views.open_alarms(connection)
        told: dict[str, tuple[Any, bool]] = {}
        for view in fleet:
            heard = view.state != "unheard"
            values = {
                "State": (view.state, True),
                "Alarm": (view.alarm is not None, True),
                "AlarmTime": (_time(raised.get(view.alarm or "")), True),
                "Score": (_number(view.score), heard),
                "P": (_number(view.p), heard),
                "HeardAt": (_time(view.heard_at), True),
            }
            told |= {f"{view.name}/{what}": value for what, value in values.items()}
        return told


_FIRST: dict[str, Any] = {
    "State": "waiting",
    "Alarm": False,
    "AlarmTime": NEVER,
    "Score": math.nan,
    "P": math.nan,
    "HeardAt": NEVER,
}
"""By their names, the variables of a machine; each value says the type."""


def _readers() -> Any:
    """Return what lets everybody read and nobody else in: no name opens more."""
    from asyncua.crypto.permission_rules import User, UserRole

    class Readers:
        def get_user(self, *_: Any, **__: Any) -> User:
            return User(role=UserRole.User)

    return Readers()


def _value(value: Any, certain: bool) -> Any:
    from asyncua import ua

    kind = {bool: ua.VariantType.Boolean, float: ua.VariantType.Double}.get(type(value))
    code = ua.StatusCodes.Good if certain else ua.StatusCodes.UncertainLastUsableValue
    return ua.DataValue(ua.Variant(value, kind), ua.StatusCode(code))


def _time(at: float | None) -> datetime:
    return NEVER if at is None else datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
