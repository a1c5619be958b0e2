"""`navplane up`: everything on this machine, until Ctrl-C."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from socket import socket
from typing import IO, Annotated

import typer
from navplane.config import OVERRIDE_PREFIX, DatabaseSettings, Mode, UpstreamSettings
from navplane.errors import ConfigurationError, NavPlaneError
from navplane.upstream.origin import Origins
from navplane_local.cloud import ROOT, CloudOptions, LocalCloud
from navplane_local.demo_organization import MODEL, SelfTestFailed
from navplane_local.invocation import FunctionError
from navplane_local.listener import bind
from navplane_local.state import AlreadyUp
from navplane_local.template import TemplateError

from navplane_cli import dev_env
from navplane_cli.serve_settings import database_settings

DEFAULT_PORT = 8787
PORTS_TRIED = 50
TOKEN_RENEWAL_SECONDS = 11 * 3600
# The directories of embedded servers' sockets (navplane_local.postgres_place).
EMBEDDED_SOCKETS = ("/postgres.run", "/data.run")
# What a start can fail with that is worth a sentence and not a traceback.
EXPECTED = (NavPlaneError, AlreadyUp, TemplateError, FunctionError, SelfTestFailed, OSError, RuntimeError)


def up(
    port: Annotated[
        int,
        typer.Option(envvar="NAVPLANE_PORT", min=0, max=65535, help="The port; the next free one if it is taken. 0 is any."),
    ] = DEFAULT_PORT,
    state_dir: Annotated[Path, typer.Option(envvar="NAVPLANE_STATE_DIR", help="Where the local data lives.")] = ROOT
    / ".navplane",
    postgres_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Also let Postgres listen on this TCP port of 127.0.0.1.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print what the functions log.")] = False,
) -> None:
    """Start everything on this machine and print the URLs; Ctrl-C delivers what is queued and stops it."""
    began = time.monotonic()
    try:
        asyncio.run(_run(began, port, state_dir, postgres_port, verbose))
    except EXPECTED as exc:
        typer.echo(f"NavPlane did not start: {exc}", err=True)
        if isinstance(exc, FunctionError | SelfTestFailed):
            typer.echo(f"The functions' logs are in {state_dir / 'logs'}.", err=True)
        raise typer.Exit(1) from exc


async def _run(began: float, port: int, state_dir: Path, postgres_port: int | None, verbose: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with FunctionLogs(state_dir / "logs", verbose=verbose) as logs:
        cloud = LocalCloud(
            CloudOptions(
                state_dir=state_dir,
                log=logs.write,
                edge=_bind(port),
                database=other_postgres(os.environ),
                postgres_port=postgres_port,
                overrides=_overrides(),
            )
        )
        await _serve(cloud, stop, began, port)


async def _serve(cloud: LocalCloud, stop: asyncio.Event, began: float, port: int) -> None:
    start = asyncio.create_task(cloud.start(_report))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((start, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        # `start` stops what it has started before it gives up.
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        typer.echo("stopped before it was ready")
        return
    start.result()
    try:
        dev_env.write(cloud.state.dev_env, _values(cloud))
        _announce(cloud, time.monotonic() - began, port)
        await _renew_dev_env(cloud, stopping)
    finally:
        cloud.state.dev_env.unlink(missing_ok=True)
        typer.echo("\nstopping: finishing what is under way and writing down what is queued")
        await cloud.stop()
        typer.echo("stopped")


async def _renew_dev_env(cloud: LocalCloud, stopping: "asyncio.Task[bool]") -> None:
    """The token in it lives less than a day: it is written anew in good time, until the stop."""
    while not (await asyncio.wait((stopping,), timeout=TOKEN_RENEWAL_SECONDS))[0]:
        dev_env.write(cloud.state.dev_env, _values(cloud))


def other_postgres(env: Mapping[str, str]) -> DatabaseSettings | None:
    """The Postgres of NAVPLANE_DATABASE_URL. Not the embedded one of a NavPlane whose dev.env this shell has read: its roles
    would get new passwords, and it would stop serving."""
    url = env.get("NAVPLANE_DATABASE_URL")
    settings = database_settings(url) if url else None
    if settings is not None and settings.host.endswith(EMBEDDED_SOCKETS):
        typer.echo("NAVPLANE_DATABASE_URL comes from a dev.env and names an embedded Postgres: it is left alone.")
        return None
    return settings


def _values(cloud: LocalCloud) -> dict[str, str]:
    queues = cloud.stack.functions["RequestLogWriterFunction"].environment
    return {
        "NAVPLANE_BASE_URL": cloud.base_url,
        "NAVPLANE_API_KEY": cloud.demo.api_key,
        "NAVPLANE_ADMIN_URL": f"{cloud.base_url}/admin",
        "NAVPLANE_ADMIN_TOKEN": cloud.admin_token(),
        "NAVPLANE_CONSOLE_URL": cloud.console_url,
        "NAVPLANE_DATABASE_URL": cloud.database.url(),
        "NAVPLANE_QUEUE_URL": queues["QUEUE_URL"],
        "NAVPLANE_DEAD_LETTER_QUEUE_URL": queues["DEAD_LETTER_QUEUE_URL"],
    }


def _report(step: str, seconds: float, detail: str) -> None:
    typer.echo(f"ok  {step:<18} {seconds:5.1f} s  {detail}")


def _announce(cloud: LocalCloud, seconds: float, port: int) -> None:
    bound = cloud.base_url.rpartition(":")[2]
    notice = f"port {port} is taken; using {bound}\n" if port and bound != str(port) else ""
    typer.echo(f"""
NavPlane is ready, after {seconds:.1f} s.
{notice}
  gateway     {cloud.base_url}/v1 for OpenAI SDKs, {cloud.base_url} for Anthropic's
  streaming   {cloud.rest_url}/v1, the same through API Gateway's REST API
  admin API   {cloud.base_url}/admin/orgs
  console     {cloud.console_url}
  demo key    {cloud.demo.api_key}
  settings    {cloud.state.dev_env}, with a token for the admin API

Paste this:

  curl -N {cloud.base_url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -H 'Authorization: Bearer {cloud.demo.api_key}' \\
    -d '{{"model":"{MODEL}","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'

Ctrl-C stops it; `make reset` wipes the data.""")


def _bind(port: int) -> socket:
    """`port`, or the next one that is free. 0 takes any."""
    last = min(port + PORTS_TRIED, 65536) - 1 if port else 0
    for candidate in range(port, last + 1):
        try:
            return _listening(candidate)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise ConfigurationError(f"Port {candidate} can't be used: {exc.strerror}. Set NAVPLANE_PORT.") from exc
    raise ConfigurationError(f"Ports {port} to {last} are all taken: set NAVPLANE_PORT.")


def _listening(port: int) -> socket:
    """It listens from the first moment: two that only hold a port, and don't listen yet, would not notice each other."""
    bound = bind(port)
    try:
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def _overrides() -> Mapping[str, str]:
    """Refused here if they can't be used, before anything was started."""
    given = {name: url for name, url in os.environ.items() if name.startswith(OVERRIDE_PREFIX)}
    overrides = UpstreamSettings.from_env({"NAVPLANE_MODE": Mode.LOCAL.value} | given).overrides
    Origins(overrides=overrides, demo_url=None)
    return overrides


class FunctionLogs:
    """One file per function, of this run; on the terminal too if asked."""

    def __init__(self, directory: Path, *, verbose: bool) -> None:
        self._directory = directory
        self._verbose = verbose
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> "FunctionLogs":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, function: str, line: bytes) -> None:
        if function not in self._files:
            self._files[function] = (self._directory / f"{function}.log").open("wb", buffering=0)
        self._files[function].write(line + b"\n")
        if self._verbose:
            sys.stdout.write(f"[{function}] {line.decode(errors='replace')}\n")
