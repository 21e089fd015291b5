"""What the service knows, on disk: SQLite in its folder, or PostgreSQL.

``schema`` the tables | ``database`` opened, migrated and locked | ``clips`` what came and what became of
it |
``machines`` standings and alarms | ``outbox`` what must still be told | ``people`` users, sessions,
tokens | ``logs``
the audit log and the history of inputs.
"""
