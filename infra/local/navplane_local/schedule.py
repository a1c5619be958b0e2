"""Schedules: a function is invoked again and again, at the rate its template gives."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from navplane_local.invocation import FunctionError, Invocation, TooManyRequests
from navplane_local.resolver import ACCOUNT_ID, REGION
from navplane_local.stack import Schedule


async def run(schedule: Schedule, invoke: Callable[[bytes], Invocation], *, seconds: float | None = None) -> None:
    """For ever. The first run comes after one interval, as with EventBridge; `seconds` replaces the interval."""
    while True:
        await asyncio.sleep(schedule.every_seconds if seconds is None else seconds)
        try:
            await invoke(event(schedule)).payload()
        except (FunctionError, TooManyRequests):
            continue  # the function's log says why, and the next run is on its way


def event(schedule: Schedule) -> bytes:
    if schedule.input is not None:
        return schedule.input.encode()
    return json.dumps(
        {
            "version": "0",
            "id": str(uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": [f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{schedule.name}"],
            "detail": {},
        }
    ).encode()
