"""Who may do what: users with passwords, the sessions of their browsers, and tokens of machines.

Of what a browser or a machine holds only the sha256 is kept: who reads the database cannot sign in with it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from thrum.errors import UsageError
from thrum.sentences import Sentence
from thrum.service.store import logs
from thrum.service.store.schema import sessions, tokens, users

if TYPE_CHECKING:
    from argon2 import PasswordHasher

Role = Literal["viewer", "operator", "administrator"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "administrator")
SHORTEST_PASSWORD = 10
_NAME = re.compile(r"[\w.@+-]{1,100}")


@dataclass(frozen=True)
class Person:
    """Who is signed in.

    Parameters
    ----------
    name, role
        Of the user.
    session
        The sha256 of what the browser holds.
    language
        Chosen by the user; empty where none was.
    dark
        Whether the user chose the dark page; None where neither was.
    """

    name: str
    role: Role
    session: str = ""
    language: str = ""
    dark: bool | None = None

    def may(self, role: Role) -> bool:
        """Return whether the user has a role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


def count(connection: Connection) -> int:
    """Return how many users there are."""
    return int(connection.execute(select(func.count()).select_from(users)).scalar_one())


def add(
    connection: Connection, name: str, password: str, role: Role, *, who: str, now: float
) -> None:
    """Add a user.

    Raises
    ------
    UsageError
        Where the name is taken or odd, or the password short.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(Sentence("odd_name", name=repr(name)))
    if role not in ROLES:
        raise UsageError(Sentence("odd_role", role=repr(role), roles=", ".join(ROLES)))
    if connection.execute(select(users.c.name).where(users.c.name == name)).first():
        raise UsageError(Sentence("user_there", name=repr(name)))
    connection.execute(
        insert(users).values(name=name, password=_hashed(password), role=role, made_at=now)
    )
    logs.audit(connection, who, "user added", name, role, now)


def set_password(connection: Connection, name: str, password: str, *, who: str, now: float) -> None:
    """Give a user another password; all of that user's sessions end."""
    connection.execute(update(users).where(users.c.name == name).values(password=_hashed(password)))
    connection.execute(delete(sessions).where(sessions.c.who == name))
    logs.audit(connection, who, "password changed", name, "", now)


def remove(connection: Connection, name: str, *, who: str, now: float) -> None:
    """Remove a user.

    Raises
    ------
    UsageError
        Where no administrator would be left.
    """
    left = select(func.count()).select_from(users)
    left = left.where(users.c.role == "administrator", users.c.name != name)
    if not connection.execute(left).scalar_one():
        raise UsageError(Sentence("last_administrator", name=name))
    connection.execute(delete(sessions).where(sessions.c.who == name))
    connection.execute(delete(users).where(users.c.name == name))
    logs.audit(connection, who, "user removed", name, "", now)


def all_users(connection: Connection) -> Sequence[RowMapping]:
    """Return the users by name, without their passwords."""
    wanted = select(users.c.name, users.c.role, users.c.made_at).order_by(users.c.name)
    return connection.execute(wanted).mappings().all()


def password_hash(connection: Connection, name: str) -> str:
    """Return what `is_right` wants; of nobody that of a password which nobody has."""
    found = connection.execute(select(users.c.password).where(users.c.name == name)).scalar()
    return str(found) if found else _nobody()


def is_right(hashed: str, password: str) -> bool:
    """Return whether a password is the one; it takes as long for users that there are not."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def begin_session(connection: Connection, name: str, *, hours: float, now: float) -> str:
    """Begin a session; return what the browser holds."""
    held = secrets.token_urlsafe(32)
    connection.execute(delete(sessions).where(sessions.c.ends_at < now))
    connection.execute(
        insert(sessions).values(id=_sha(held), who=name, made_at=now, ends_at=now + 3600 * hours)
    )
    logs.audit(connection, name, "signed in", name, "", now)
    return held


def person_of(connection: Connection, held: str, now: float) -> Person | None:
    """Return whose session it is, where it has not ended."""
    wanted = (
        select(users, sessions.c.id)
        .join(sessions, sessions.c.who == users.c.name)
        .where(
            sessions.c.id == _sha(held), sessions.c.ends_at > now, sessions.c.made_at <= now + 3600
        )
    )
    row = connection.execute(wanted).mappings().first()
    if row is None:
        return None
    return Person(row["name"], row["role"], row["id"], row["language"], row["dark"])


def is_on(connection: Connection, person: Person, now: float) -> bool:
    """Return whether a session is still on and its user still has the role."""
    wanted = (
        select(users.c.role)
        .join(sessions, sessions.c.who == users.c.name)
        .where(sessions.c.id == person.session, sessions.c.ends_at > now)
    )
    return connection.execute(wanted).scalar() == person.role


def end_session(connection: Connection, held: str) -> None:
    """End a session."""
    connection.execute(delete(sessions).where(sessions.c.id == _sha(held)))


def choose(
    connection: Connection, name: str, *, language: str | None = None, dark: bool | None = None
) -> None:
    """Keep what a user chose of the look of the pages."""
    chosen = {"language": language, "dark": dark}
    values = {key: value for key, value in chosen.items() if value is not None}
    if values:
        connection.execute(update(users).where(users.c.name == name).values(**values))


def add_token(
    connection: Connection, name: str, source: str | None, *, who: str, now: float
) -> str:
    """Make a token for a machine that sends clips; return it: nobody can show it again.

    Raises
    ------
    UsageError
        Where the name is taken or odd.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(Sentence("odd_name", name=repr(name)))
    if connection.execute(select(tokens.c.id).where(tokens.c.name == name)).first():
        raise UsageError(Sentence("token_there", name=repr(name)))
    held = f"thrum_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(tokens).values(id=_sha(held), name=name, input=source, made_at=now, made_by=who)
    )
    logs.audit(connection, who, "token added", name, source or "any input", now)
    return held


def remove_token(connection: Connection, name: str, *, who: str, now: float) -> None:
    """Remove a token: what holds it is refused from now on."""
    connection.execute(delete(tokens).where(tokens.c.name == name))
    logs.audit(connection, who, "token removed", name, "", now)


def all_tokens(connection: Connection) -> Sequence[RowMapping]:
    """Return the tokens by name."""
    return connection.execute(select(tokens).order_by(tokens.c.name)).mappings().all()


def token_of(connection: Connection, held: str) -> RowMapping | None:
    """Return the token that a machine holds."""
    return connection.execute(select(tokens).where(tokens.c.id == _sha(held))).mappings().first()


def _hashed(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD or len(password) > 1000:
        raise UsageError(Sentence("short_password", least=SHORTEST_PASSWORD))
    return _hasher().hash(password)


def _sha(held: str) -> str:
    return hashlib.sha256(held.encode("utf-8", "surrogateescape")).hexdigest()


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))
