"""`navplane mail`: what the local NavPlane would have mailed, newest last."""

import email
import os
from email.policy import default
from pathlib import Path
from typing import Annotated

import typer

SHOWN = 10


def mail(count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many of the newest.")] = SHOWN) -> None:
    """Show the mail that a local NavPlane sent: it stays on this machine."""
    outbox = Path(os.environ.get("NAVPLANE_STATE_DIR") or ".navplane") / "mail"
    found = sorted(outbox.glob("*.eml"))[-count:]
    if not found:
        typer.echo(f"No mail in {outbox}.")
    for path in found:
        message = email.message_from_bytes(path.read_bytes(), policy=default)
        typer.echo(f"--- {path.name}\nTo: {message['To']}\nSubject: {message['Subject']}\n\n{message.get_content()}")
