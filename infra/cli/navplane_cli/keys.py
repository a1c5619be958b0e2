"""`navplane keys`: the KEK that seals what NavPlane holds, and its rotation."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from navplane import wiring
from navplane.config import CustodySettings, KekSettings, region_of
from navplane.custody.rewrap import Progress
from navplane.errors import NavPlaneError
from navplane.store import kek_rotations, sealed_values
from rich.console import Console

from navplane_cli.serve_settings import RoleSettings

app = typer.Typer(help="The key-encryption key and its rotation.", no_args_is_help=True, add_completion=False)
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.callback()
def keys() -> None:
    """The key-encryption key and its rotation."""


@app.command()
def rewrap(as_json: AsJson = False) -> None:
    """Seal everything under the new KEK (ENCRYPTION_KEY_NEW, ENCRYPTION_KEY_NEW_SECRET_ID or KMS_KEY_ID_NEW).

    Start everything that uses the KEK with both first. It may be stopped and run again at any time; the status is 1 until
    nothing is sealed under the old one.
    """
    try:
        rewrapper = wiring.rewrapper(_settings())
        with Console(stderr=True).status("rewrapping"):
            progress = rewrapper.run(now=lambda: datetime.now(UTC))
    except NavPlaneError as exc:
        typer.echo(f"Stopped: {exc.message}", err=True)
        raise typer.Exit(1) from exc
    typer.echo(json.dumps(asdict(progress)) if as_json else _told(progress))
    if not progress.finished:
        raise typer.Exit(1)


@app.command()
def status(as_json: AsJson = False) -> None:
    """How many secrets each KEK seals, and the rotations there were."""
    settings = _settings()
    with wiring.database(settings.database, size=1).transaction() as db:
        sealed, rotations = sealed_values.by_kek(db), kek_rotations.rotations(db)
    if as_json:
        typer.echo(json.dumps({"sealed": sealed, "rotations": [asdict(one) for one in rotations]}, default=str))
        return
    for kek_id, count in sealed.items():
        typer.echo(f"{kek_id}  seals {count}")
    for one in rotations:
        state = f"finished {one.finished_at:%Y-%m-%d %H:%M} UTC" if one.finished_at else "not finished"
        typer.echo(f"{one.old_kek_id} → {one.new_kek_id}  {one.rewrapped} rewrapped, {state}")


def _settings() -> CustodySettings:
    return CustodySettings(
        database=RoleSettings.from_env().of("navplane_rewrap"), kek=KekSettings.from_env(), region=region_of({})
    )


def _told(progress: Progress) -> str:
    done = f"{progress.rewrapped} rewrapped, {progress.unreadable} unreadable, {progress.remaining} left under the old KEK."
    if progress.finished:
        return f"{done} Nothing is sealed under {progress.old_kek_id} any more: take it out, and put the new one in its place."
    return f"{done} Run it again; what does not open is named in the log."
