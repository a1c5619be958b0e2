"""`navplane serve`: all of NavPlane in one process, for a container or a VM. The same ASGI apps as on Lambda, on uvicorn."""

import signal
import sys
from typing import Annotated

import typer
import uvicorn
from navplane.errors import ConfigurationError, DependencyUnavailable
from navplane.telemetry import logger

from navplane_cli.serve_app import Served, assemble
from navplane_cli.serve_database import prepare
from navplane_cli.serve_protocol import StrictProtocol
from navplane_cli.serve_settings import ServeSettings

# How long streams may go on after SIGTERM; give the container's stop timeout a little more.
GRACE_SECONDS = 120


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8787,
    jobs: Annotated[bool, typer.Option(help="Also write usage events and run the schedules.")] = True,
) -> None:
    """Serve the gateway and the admin API on one port, from one process; docs/operate.md says more.

    Applies pending migrations first, and runs the writer and the schedules in the background. SIGTERM lets streams finish.
    """
    try:
        settings = ServeSettings.from_env()
        applied = prepare(settings.roles)
        served = assemble(settings, jobs=jobs)
    except (ConfigurationError, DependencyUnavailable) as exc:
        typer.echo(exc.message, err=True)
        raise typer.Exit(2) from exc
    logger.info("serve.migrated", extra={"applied": applied})
    run(served, host=host, port=port)


def run(app: Served, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; then accept nothing new, finish what is open, and end with status 0."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=StrictProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # The provider's own Date passes; a second one would be a false repeat.
        date_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
    )
    # uvicorn raises the signal again when it is done: an orderly end is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    listener = config.bind_socket()
    logger.info("serve.listening", extra={"host": host, "port": listener.getsockname()[1]})
    uvicorn.Server(config).run(sockets=[listener])
