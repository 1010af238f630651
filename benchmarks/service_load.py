"""Requests a second of the service's busy routes, in turns with a bare FastAPI route.

``python -m benchmarks.service_load [--rounds 40] [--only list,submit]``. The service is `halfstep serve` with SQLite,
its own broker and no worker; the bare route is one uvicorn worker. Both are asked in turns over connections that are
kept alive. On a machine that others use, ratios of neighbours and the processor time (Linux only) are the steadier
figures.
"""

import argparse
import json
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.http_load import Asked, Load, answered, free_port, served

WANTED = 0.7
"""What the ratio of validations to the bare route should be at least."""
POLICY = {
    "class_name": "PolicyV1",
    "config": {
        "name": "mixed_float16",
        "loss_scale": {
            "class_name": "DynamicLossScale",
            "config": {"initial_loss_scale": 32768.0, "increment_period": 2000, "multiplier": 2.0},
        },
    },
}
BODY = json.dumps({"policy": POLICY, "dialect": "tf2.4"}).encode()
BARE = "bare FastAPI"


@dataclass(frozen=True)
class Row:
    """One load: what is asked, over how many connections, how often in a round."""

    asked: Asked
    connections: int
    requests: int


def rows() -> Mapping[str, Row]:
    """Return the loads by name."""
    job = json.loads((Path(__file__).parents[1] / "examples" / "digits.json").read_bytes())
    jobs = "/v1/training/jobs"
    return MappingProxyType(
        {
            "validate": Row(Asked("POST", "/v1/policies/validate", body=BODY), 64, 256),
            "healthz": Row(Asked("GET", "/healthz"), 16, 64),
            "healthz, 1 client": Row(Asked("GET", "/healthz"), 1, 16),
            "submit": Row(Asked("POST", jobs, 201, json.dumps(job).encode()), 16, 48),
            "list": Row(Asked("GET", f"{jobs}?limit=20"), 16, 48),
        }
    )


def main() -> int:
    """Print throughput and latencies; exit with 1 if validations are fewer than wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40, help="turns of each load")
    parser.add_argument("--only", default="", help="names of loads, with commas between")
    options = parser.parse_args()
    chosen = {name: row for name, row in rows().items() if not options.only or name in options.only.split(",")}
    bare_port, port = free_port(), free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="halfstep-bench-"))
        bare_id = stack.enter_context(served(bare_port, "benchmarks.bare_fastapi", str(bare_port)))
        arguments = ("--port", str(port), "--data-dir", folder, "--workers", "0")
        service_id = _http_process(stack.enter_context(served(port, "app.serve", *arguments)), port)
        loads = [Load(BARE, Asked("POST", "/validate", body=BODY), bare_port, 64, 256, bare_id)]
        loads += [
            Load(name, row.asked, port, row.connections, row.requests, service_id) for name, row in chosen.items()
        ]
        for number in range(options.rounds):
            for load in loads[:: 1 if number % 2 == 0 else -1]:
                load.turn()
    return _report(loads)


def _http_process(supervisor: int, port: int) -> int:
    """Return the process id of the child that answers, once it does."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        answered(connection, Asked("GET", "/healthz"))
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    if not children.exists():
        return supervisor
    running = map(int, children.read_text(encoding="utf-8").split())
    return next(child for child in running if b"app.main" in Path(f"/proc/{child}/cmdline").read_bytes())


def _report(loads: list[Load]) -> int:
    for load in loads:
        shares = ", ".join(f"p{share} {load.percentile(share):.2f} ms" for share in (50, 95, 99))
        cost = load.processor / len(load.latencies) * 1e6
        print(f"{load.name:18} {load.rate:7.0f} a second, {shares}, {cost:.0f} us of processor a request")
    rates = {load.name: load.rate for load in loads}
    if "validate" not in rates:
        return 0
    ratio = rates["validate"] / rates[BARE]
    print(f"validations as a ratio to bare FastAPI: {ratio:.2f} (wanted: at least {WANTED})")
    return int(ratio < WANTED)


if __name__ == "__main__":
    sys.exit(main())
