"""Processes that ask one gate for one key at the same time: each is a storm_clients of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.gate_seed_postgres import Tenant
from tests.support.postgres import TestDatabase


def crowd(
    database: TestDatabase, tenant: Tenant, *, moments: Sequence[datetime], shares: Sequence[int], threads: int
) -> list[dict[str, Any]]:
    """What each process says, when all were let go at once: `shares` are how often each asks at each moment."""
    where = database.settings("navplane_gate")
    settings = {
        "host": where["DATABASE_HOST"], "name": where["DATABASE_NAME"], "password": where["DATABASE_PASSWORD"],
        "digest": tenant.digest.hex(), "moments": [moment.isoformat() for moment in moments], "threads": threads,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.faults.storm_clients"]
    processes = [
        subprocess.Popen(
            [*command, json.dumps({**settings, "requests": share})], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for share in shares
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
