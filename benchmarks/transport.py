"""What the engine's transport alone costs: pieces of embeddings from a site to a server, by TLS on loopback.

    python benchmarks/transport.py --pieces 20 --json docs/results/federation/transport.json

Two processes with the kits of a site and a server, and of ours nothing: the server asks for pieces of 7.7 MB,
one after the other. Once arrays travel in the answer itself, as `thrum.federation.flare.engine` has it, and
once as the engine would do: fetched after it, in its own pieces. Processor seconds are of both processes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from deployed import make_kits
from thrum import storage
from thrum.federation.flare.engine import ARRAYS_IN_ANSWERS
from thrum.federation.flare.kit import read_kit

SHAPE = (16 * 313, 768)
WAYS = {"in the answer": "0", "fetched after it": str(2 << 20)}


def cell_of(name: str, kits: Path, role: str) -> Any:
    """Return a participant's end of the engine's transport."""
    from nvflare.fuel.f3.cellnet.cell import Cell
    from nvflare.private.fed.utils.fed_utils import fobs_initialize

    fobs_initialize()
    startup = kits / ("localhost" if role == "server" else name) / "startup"
    keys = {f"{role}_{end}": str(startup / f"{role}.{kind}") for end, kind in
            (("cert", "crt"), ("key", "key"))}  # fmt: skip
    url = f"http://localhost:{read_kit(kits / 'site00', role='site').port}"
    credentials = {"ca_cert": str(startup / "rootCA.pem"), **keys}
    cell = Cell(name, url, True, credentials, auth_identity_map={"server": "localhost"})
    cell.start()
    return cell


def hand_over(kits: Path) -> None:
    """Answer as a site, until killed."""
    from nvflare.fuel.f3.cellnet.utils import make_reply

    content = np.random.default_rng(0).normal(size=SHAPE).astype(np.float16)
    cell = cell_of("site00", kits, "client")
    cell.register_request_cb(
        channel="pieces", topic="piece", cb=lambda _: make_reply("ok", body={"piece": content})
    )
    time.sleep(600)


def ask(kits: Path, pieces: int) -> None:
    """Ask as the server; print what it cost this process."""
    from nvflare.fuel.f3.cellnet.core_cell import Message

    cell = cell_of("server", kits, "server")

    def piece() -> int:
        request = Message({}, {})
        reply = cell.send_request(
            channel="pieces", topic="piece", target="site00", request=request, timeout=20
        )
        return 0 if reply.payload is None else int(reply.payload["piece"].nbytes)

    while not piece():  # it has not come yet
        time.sleep(0.2)
    site = psutil.Process(int(os.environ["SITE_PROCESS"]))
    began, own, other = time.monotonic(), time.process_time(), sum(site.cpu_times()[:2])
    n_bytes = sum(piece() for _ in range(pieces))
    told = {
        "megabytes": round(n_bytes / 1e6),
        "wall_seconds": round(time.monotonic() - began, 2),
        "processor_seconds": round(
            time.process_time() - own + sum(site.cpu_times()[:2]) - other, 2
        ),
        "site, MiB": site.memory_info().rss >> 20,
    }
    print(json.dumps(told), flush=True)
    os._exit(0)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pieces", type=int, default=20)
    options.add_argument("--times", type=int, default=2)
    options.add_argument("--json", type=Path)
    options.add_argument("--as", dest="role", help=argparse.SUPPRESS)
    options.add_argument("--kits", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    logging.disable(logging.CRITICAL)
    if chosen.role:
        hand_over(chosen.kits) if chosen.role == "site" else ask(chosen.kits, chosen.pieces)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        kits = make_kits(Path(folder), ["site00"])
        for way in [*WAYS] * chosen.times:
            words = [sys.executable, __file__, "--kits", str(kits), "--pieces", str(chosen.pieces)]
            environment = os.environ | {ARRAYS_IN_ANSWERS: WAYS[way]}
            site = subprocess.Popen([*words, "--as", "site"], env=environment)
            try:
                told = subprocess.run(
                    [*words, "--as", "server"],
                    env=environment | {"SITE_PROCESS": str(site.pid)},
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            finally:
                site.kill()
                site.wait()
            found.append({"arrays": way, **json.loads(told.splitlines()[-1])})
            print(found[-1])
    if chosen.json:
        storage.write_json(chosen.json, found)


if __name__ == "__main__":
    main()
