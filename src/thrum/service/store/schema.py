"""The tables; times are seconds since 1970 in UTC. A change here wants a migration beside it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER up by itself

clips = Table(
    "clips",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    # sha256 of the sound's own sha256, the input and the time told: what makes a clip that clip.
    Column("key", String(64), nullable=False, unique=True),
    Column("input", String(100), nullable=False),
    Column("machine", String(100), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("path", String(200)),  # in the folder of audio; NULL once thinned
    Column("channel", Integer),
    Column("health", String(20), nullable=False),
    Column("level_db", Float, nullable=False),
    Column("status", String(10), nullable=False),  # waiting, judged or refused
    Column("reason", Text, nullable=False, server_default=""),
    Column("kept", Boolean, nullable=False, server_default="0"),
)
Index("clips_waiting", clips.c.machine, clips.c.status, clips.c.id)
Index("clips_audio", clips.c.kept, clips.c.received_at)

judgements = Table(
    "judgements",
    metadata,
    Column("clip", _Number, ForeignKey("clips.id"), primary_key=True, autoincrement=False),
    Column("machine", String(100), nullable=False),
    Column(
        "number", _Number, nullable=False
    ),  # the how-many-th of its machine, in the order of hearing
    Column("at", Float, nullable=False),  # when the clip began
    Column("judged_at", Float, nullable=False),
    Column("score", Float),
    Column("p", Float),
    Column("state", String(20), nullable=False),
    Column("operating", String(100), nullable=False),
    Column("among", String(100), nullable=False),  # empty where the stream did not hear it
    Column("drift", Boolean, nullable=False),
    Column("notes", Text, nullable=False),
)
Index("judgements_of_machine", judgements.c.machine, judgements.c.number, unique=True)

machines = Table(
    "machines",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("standing", Text, nullable=False),  # JSON of thrum.service.rules.Standing
    Column("since", Float, nullable=False),
    Column("heard_at", Float),  # when the last clip ended that could be heard
    Column("judged", _Number, nullable=False, server_default="0"),
    # The stream as it was after so many judgements; those since are heard again when the service starts.
    Column("stream_judged", _Number, nullable=False, server_default="0"),
    Column("stream_of", String(64), nullable=False, server_default=""),
    Column("stream", LargeBinary),
)

states = Table(
    "states",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("machine", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    Column("begun_at", Float, nullable=False),
    Column("clip", _Number),
)
Index("states_of_machine", states.c.machine, states.c.begun_at)

alarms = Table(
    "alarms",
    metadata,
    Column("id", String(20), primary_key=True),  # the beginning of its clip's key
    Column("machine", String(100), nullable=False),
    Column("clip", _Number, ForeignKey("clips.id"), nullable=False, unique=True),
    Column("raised_at", Float, nullable=False),
    Column("since_clips", Integer, nullable=False),
    Column("score", Float),
    Column("p", Float),
    Column("acknowledged_at", Float),
    Column("closed_at", Float),
    Column("verdict", String(20), nullable=False, server_default=""),
)
Index("alarms_of_machine", alarms.c.machine, alarms.c.raised_at)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("alarm", String(20), ForeignKey("alarms.id"), nullable=False),
    Column("at", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("comment", Text, nullable=False),
)

answers = (
    Table(  # what a person asked for that a monitor must do: confirm a fault, learn what is normal
        "answers",
        metadata,
        Column("id", _Number, primary_key=True, autoincrement=True),
        Column("machine", String(100), nullable=False),
        Column("what", String(20), nullable=False),
        Column("alarm", String(20)),
        Column("clips", Text, nullable=False),  # JSON, their numbers
        Column("at", Float, nullable=False),
        Column("who", String(100), nullable=False),
        Column("comment", Text, nullable=False),
        Column("done_at", Float),
        Column("outcome", Text, nullable=False, server_default=""),
    )
)

inputs = Table(
    "inputs",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("machine", String(100), nullable=False),
    Column("health", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("heard_at", Float),
    Column("clips", _Number, nullable=False, server_default="0"),
    Column("refused", _Number, nullable=False, server_default="0"),
    Column("level_db", Float),
)

input_health = Table(
    "input_health",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("input", String(100), nullable=False),
    Column("health", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("begun_at", Float, nullable=False),
)
Index("input_health_of", input_health.c.input, input_health.c.id)

taken = (
    Table(  # files of folders that have been taken in, so that a restart need not read them again
        "taken",
        metadata,
        Column("input", String(100), primary_key=True),
        Column("file", String(700), primary_key=True),
        Column("size", _Number, nullable=False),
        Column("modified_ns", _Number, nullable=False),
    )
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("channel", String(120), nullable=False),
    Column("event", String(64), nullable=False),  # the same however often it is sent
    Column("topic", String(300), nullable=False),
    Column("payload", Text, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("sent_at", Float),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default=""),
)
Index("outbox_event", outbox.c.channel, outbox.c.event, unique=True)
Index("outbox_waiting", outbox.c.channel, outbox.c.sent_at, outbox.c.id)

audit = Table(
    "audit",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("what", String(40), nullable=False),
    Column("about", String(200), nullable=False),
    Column("detail", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("password", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("language", String(5), nullable=False, server_default=""),
    Column("dark", Boolean),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # the sha256 of what the browser holds
    Column("who", String(100), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(64), primary_key=True),  # the sha256 of what the machine holds
    Column("name", String(100), nullable=False, unique=True),
    Column("input", String(100)),  # NULL: any input
    Column("made_at", Float, nullable=False),
    Column("made_by", String(100), nullable=False),
    Column("used_at", Float),
)
