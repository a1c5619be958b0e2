"""`navplane reset`: the local data is gone, for good."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from navplane_local.cloud import ROOT
from navplane_local.postgres import AlreadyRunning, EmbeddedPostgres
from navplane_local.state import AlreadyUp, StateDirectory


def reset(
    state_dir: Annotated[Path, typer.Option(envvar="NAVPLANE_STATE_DIR", help="Where the local data lives.")] = ROOT
    / ".navplane",
) -> None:
    """Wipe the local data: organizations, keys, rows, secrets. Refuses while NavPlane runs on it."""
    if not state_dir.exists():
        typer.echo(f"nothing to wipe: there is no {state_dir}")
        return
    state = StateDirectory(state_dir)
    try:
        state.take()
        # Its files may lie elsewhere and belong to another OS user.
        EmbeddedPostgres(state.postgres).wipe()
    except (AlreadyUp, AlreadyRunning) as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from exc
    shutil.rmtree(state_dir)
    state.release()
    typer.echo(f"wiped {state_dir}")
