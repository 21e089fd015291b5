"""Who did what, for those who ask later."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, insert, select

from thrum.sentences import kept
from thrum.service.store.schema import audit as audit_table


def audit(connection: Connection, who: str, what: str, about: str, detail: str, now: float) -> None:
    """Write a line of the audit log; nothing is ever removed from it."""
    connection.execute(
        insert(audit_table).values(
            at=now, who=who, what=what, about=about[:200], detail=kept(detail)
        )
    )


def audited(connection: Connection, limit: int = 200) -> Sequence[RowMapping]:
    """Return the last lines of the audit log, the latest first."""
    wanted = select(audit_table).order_by(audit_table.c.id.desc()).limit(limit)
    return connection.execute(wanted).mappings().all()
