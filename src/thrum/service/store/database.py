"""A database opened: migrated to the schema of today, with locks that a killed process lets go."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from thrum.errors import ConfigError, StorageError

BUSY_SECONDS = 30
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Transactions on SQLite or PostgreSQL.

    Parameters
    ----------
    address
        Of SQLAlchemy, or the path of an SQLite file.

    Raises
    ------
    ConfigError
        Where the address is not understood.
    StorageError
        Where it cannot be opened, or is of a later version of thrum.
    """

    def __init__(self, address: str | Path) -> None:
        url = f"sqlite:///{address}" if isinstance(address, Path) else address
        try:
            self.engine = create_engine(url, pool_pre_ping=True)
        except (ArgumentError, ImportError, SQLAlchemyError) as error:
            raise ConfigError(
                f"database is {url!r}, wanted for instance postgresql+psycopg://user@host/name: {error}"
            ) from error
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        if self.is_sqlite:
            _make_transactional(self.engine)
        self._held: dict[str, threading.Lock] = {}
        self._holding = threading.Lock()
        self._migrate()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection whose transaction sees one state of the database."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Connection]:
        """Yield a connection whose transaction is committed, durably, when the block ends well.

        Of workers that want to be `alone` the others wait; with SQLite all that write are.
        """
        connecting = self.engine.connect().execution_options(thrum_writing=True)
        with connecting as connection, connection.begin():
            if alone and not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(7468727)"))
            yield connection

    @contextmanager
    def holding(self, name: str) -> Iterator[bool]:
        """Try to hold the right to `name` alone, among all workers; yield whether it came."""
        if not self.is_sqlite:
            with self._held_by_server(name) as held:
                yield held
            return
        with self._holding:
            lock = self._held.setdefault(name, threading.Lock())
        held = lock.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                lock.release()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _held_by_server(self, name: str) -> Iterator[bool]:
        key = zlib.crc32(f"thrum {name}".encode())
        with self.engine.connect() as connection:
            held = bool(
                connection.execute(
                    text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}
                ).scalar()
            )
            try:
                yield held
            finally:  # the end of its transaction, or of the process, lets it go
                connection.rollback()

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        try:
            with self.writing(alone=True) as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise StorageError(
                f"{self.engine.url!r} was made by a later version of thrum ({error}): install that version"
            ) from error
        except DBAPIError as error:
            raise StorageError(
                f"the database {self.engine.url!r} cannot be opened: {error.orig}"
            ) from error


def _make_transactional(engine: Engine) -> None:
    """Let transactions begin where they begin: Python's driver delays that, and then two writers
    collide.
    """

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for word in (
            "journal_mode=WAL",
            "synchronous=FULL",  # what is committed outlives a power cut, too
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {word}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("thrum_writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
