"""`navplane dlq`: usage events that could not be recorded; to be looked at without their content, and sent back."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from navplane import wiring
from navplane.errors import ConfigurationError, DependencyUnavailable
from navplane.queue.postgres import PostgresMessages
from navplane.queue.redrive import BuriedLetter, Shelf, redrive_all, shown
from navplane.queue.sqs_shelf import SqsShelf

from navplane_cli.queues import dead_letter_queue, usage_queue
from navplane_cli.serve_settings import RoleSettings

# More than this at once says that something is wrong which no redrive mends.
MOST = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=MOST, help="How many at most.")]

app = typer.Typer(help="Usage events that could not be recorded.", no_args_is_help=True, add_completion=False)


@app.callback()
def dlq() -> None:
    """Usage events that could not be recorded.

    They are in DEAD_LETTER_QUEUE_URL, and go back to QUEUE_URL (those of `navplane up` are in its dev.env); or else in the
    database that NAVPLANE_DATABASE_URL names, as for `navplane serve`."""


@app.command("list")
def list_letters(limit: Limit = 100, as_json: AsJson = False) -> None:
    """What is there, why, and whom it is about. Nothing that a caller wrote is shown."""
    with _explained():
        shelf = shelf_of(os.environ)
        letters = shelf.letters(limit)
        shelf.put_back(letters)
    if as_json:
        print(json.dumps([shown(letter) for letter in letters]))
        return
    for letter in letters:
        about = shown(letter)
        event = about["event"] or {"request_id": "no usage event", "outcome": f"{about['bytes']} bytes"}
        print(f"{letter.id}  {about['buried_at']}  {letter.reason}  {event['request_id']}  {event['outcome']}")
    typer.echo(f"{len(letters)} dead letters", err=True)


@app.command()
def redrive(
    reason: Annotated[str | None, typer.Option(help="Only those with this reason.")] = None,
    message_id: Annotated[str | None, typer.Option("--id", help="Only this one.")] = None,
    limit: Limit = MOST,
    as_json: AsJson = False,
) -> None:
    """Send them back to be recorded, once their cause is gone. Doing it twice is harmless: one request stays one row."""

    def wanted(letter: BuriedLetter) -> bool:
        return reason in (None, letter.reason) and message_id in (None, letter.id)

    with _explained():
        count = redrive_all(shelf_of(os.environ), limit=limit, wanted=wanted)
    print(json.dumps({"redriven": count}) if as_json else f"{count} dead letters are on their way again.")


def shelf_of(env: Mapping[str, str]) -> Shelf:
    """Raise ConfigurationError if the environment names none."""
    dead, queue = dead_letter_queue(env), usage_queue(env)
    if dead and queue:
        return SqsShelf(dead_letter_queue_url=dead, queue_url=queue)
    writer = RoleSettings.from_env(env).of("navplane_writer")
    return PostgresMessages(wiring.database(writer, size=1))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, DependencyUnavailable) as exc:
        typer.echo(exc.message, err=True)
        raise typer.Exit(1) from exc
