"""`navplane ledger`: usage events that no queue took, back on their way."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from navplane import wiring
from navplane.errors import DependencyUnavailable
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.queue import fallback
from navplane.queue.postgres import PostgresRequestLog
from navplane.queue.sqs import SqsRequestLog

from navplane_cli.admin_api import AdminApi
from navplane_cli.jobs import AsJson, Every, Org, start
from navplane_cli.queues import usage_queue
from navplane_cli.serve_settings import RoleSettings

app = typer.Typer(help="Usage events and the rows made of them.", no_args_is_help=True, add_completion=False)


@app.callback()
def ledger() -> None:
    """Usage events and the rows made of them."""


@app.command()
def replay(
    file: Annotated[str, typer.Argument(help="Log lines, from any source and in any order; - reads standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Publish the events of all `ledger.fallback` lines in FILE again.

    Doing it twice is harmless: one request stays one row. The queue is QUEUE_URL (that of `navplane up` is in its dev.env), or
    else the database that NAVPLANE_DATABASE_URL names, as for `navplane serve`.
    """
    with _opened(file) as lines:
        count = republish(_sender(), lines)
    print(json.dumps({"replayed": count}) if as_json else f"{count} usage events are on their way again.")


@app.command("rebuild-rollups")
def rebuild_rollups(
    since: Annotated[str, typer.Option("--from", help="From this UTC day on, such as 2026-11-01T00:00:00Z.")],
    until: Annotated[str | None, typer.Option("--to", help="Days that begin before this moment; absent: now.")] = None,
    org: Org = None,
    every: Every = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is done, and show how far it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the sums by hour and day anew from the requests, a day at a time; the sums of dropped months stay as they are."""
    api = AdminApi.from_env()
    body = {"kind": "rebuild_rollups", "start": since, "end": until}
    start(api, api.organizations(org, every=every), body, wait=wait, as_json=as_json)


def republish(send: Callable[[UsageEvent], None], lines: IO[str]) -> int:
    """How many events were sent. It stops at the first that can't be read or sent, so that nothing is passed over."""
    count = 0
    try:
        for event in fallback.read(lines):
            send(event)
            count += 1
    except (MalformedEvent, DependencyUnavailable) as exc:
        typer.echo(f"Stopped: {exc} {count} events before it were sent; replaying all of them again is harmless.", err=True)
        raise typer.Exit(1) from exc
    return count


@contextmanager
def _opened(file: str) -> Iterator[IO[str]]:
    if file == "-":
        yield sys.stdin
        return
    with Path(file).open(encoding="utf-8", errors="replace") as lines:
        yield lines


def _sender() -> Callable[[UsageEvent], None]:
    if queue_url := usage_queue(os.environ):
        return SqsRequestLog(queue_url=queue_url).send
    gate = RoleSettings.from_env().of("navplane_gate")
    return PostgresRequestLog(wiring.database(gate, size=1)).send
