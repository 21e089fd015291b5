"""How a server or a site stands, for Prometheus: a file for the node exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from thrum.federation.flare.kit import Kit
from thrum.federation.flare.status import Status

_STATES = ("waiting", "running", "done", "stopped")
Sample = tuple[Mapping[str, str], float]


def metrics(status: Status, kits: Sequence[Kit], *, now: datetime) -> str:
    """Return the text of the metrics, in the exposition format that Prometheus reads.

    Parameters
    ----------
    kits
        Those whose certificates are to be watched.
    now
        The time, for how long certificates still are valid.
    """
    lines: list[str] = []
    for name, meaning, samples in _families(status, kits, now):
        lines += [f"# HELP thrum_{name} {meaning}", f"# TYPE thrum_{name} gauge"]
        lines += [f"thrum_{name}{_labels(labels)} {value:.17g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _families(
    status: Status, kits: Sequence[Kit], now: datetime
) -> Iterator[tuple[str, str, list[Sample]]]:
    role = {"role": status.role}

    def one(value: float) -> list[Sample]:
        return [(role, value)]

    yield (
        "round_state",
        "1 for the state of the last round.",
        [({**role, "state": state}, float(state == status.state)) for state in _STATES],
    )
    since = datetime.fromisoformat(status.since).timestamp() if status.since else 0.0
    yield (
        "round_state_since_seconds",
        "When that was noted, seconds since 1970; 0 before.",
        one(since),
    )
    yield "round_failed", "Whether the last round ended in an error.", one(bool(status.error))
    if status.role == "server":
        yield (
            "rounds",
            "Rounds that have ended so, of the last thousand.",
            [
                ({**role, "state": "done"}, float(status.rounds_done)),
                ({**role, "state": "stopped"}, float(status.rounds_stopped)),
            ],
        )
        yield "sites", "Sites of which something is kept.", one(len(status.sites))
        yield (
            "site_bytes",
            "Bytes of embeddings and statistics kept of a site.",
            [({**role, "site": own.name}, float(own.n_bytes)) for own in status.sites],
        )
    else:
        yield "messages_sent", "Messages that have left, by the ledger.", one(status.messages)
        yield "bytes_sent", "Bytes that have left, by the ledger.", one(status.n_bytes)
        yield "refused", "Things refused of what came down last.", one(len(status.refused))
        yield (
            "ledger_damaged_lines",
            "Lines of the ledger that cannot be read.",
            one(status.damaged),
        )
    yield (
        "certificate_days_left",
        "Days until the first certificate of a kit ends.",
        [
            ({**role, "name": kit.name}, (kit.valid_until - now).total_seconds() / 86400)
            for kit in kits
        ],
    )


def _labels(labels: Mapping[str, str]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
