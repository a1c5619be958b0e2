"""A crowd of proxies in one process of its own, which asks one gate for one key at once. Run with one JSON argument.

Says `ready` when it is connected, waits for a line, asks so many `requests` at each of the `moments`, and says as JSON which
were admitted and how many were refused.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.model.ids import new_request_id, time_of
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint
from navplane.store.database import Database, connector

TRIES = 20


def ask(digest: bytes, now: datetime) -> Ask:
    """It weighs one token and one nano-USD."""
    return Ask(
        request_id=new_request_id(now),
        key_digest=digest,
        endpoint=Endpoint.CHAT_COMPLETIONS,
        provider="openai",
        model="gpt-5",
        region=Region.US,
        stream=True,
        lease=timedelta(minutes=15),
        reserve=Charge(tokens=1, nano_usd=1),
    )


def decided(gate: PostgresGate, each: Ask) -> UUID | None:
    """The id, if it was admitted. A gate that did not answer is asked again about the same request."""
    for _ in range(TRIES):
        try:
            return each.request_id if isinstance(gate.admit(each, time_of(each.request_id)), Admission) else None
        except DependencyUnavailable:
            continue
    raise AssertionError("the gate never answered")


def storm(settings: dict[str, Any]) -> None:
    connect = connector(
        host=settings["host"], port=5432, name=settings["name"], user="navplane_gate",
        password=lambda: settings["password"], tls=False, tls_ca_file=None, timeout_seconds=5,
    )  # fmt: skip
    threads, moments = settings["threads"], [datetime.fromisoformat(moment) for moment in settings["moments"]]
    gate = PostgresGate(Database(connect, size=threads, wait_seconds=30))
    asks = [ask(bytes.fromhex(settings["digest"]), moment) for moment in moments for _ in range(settings["requests"])]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: gate.ready(), range(threads)))
        print("ready", flush=True)
        sys.stdin.readline()
        answers = list(pool.map(lambda each: decided(gate, each), asks))
    admitted = [str(answer) for answer in answers if answer is not None]
    print(json.dumps({"admitted": admitted, "refused": len(answers) - len(admitted)}), flush=True)


if __name__ == "__main__":
    storm(json.loads(sys.argv[1]))
