"""The `navplane` command. A sub-command is imported when it is asked for: `up` starts faster without what `serve` needs."""

from importlib import import_module
from typing import Annotated, Any

import typer
from navplane import __version__
from typer.core import TyperGroup
from typer.main import get_command

# name → where it is: a function, or a typer app with commands of its own
COMMANDS = {
    "up": "navplane_cli.up:up",
    "reset": "navplane_cli.reset:reset",
    "demo": "navplane_cli.demo:demo",
    "serve": "navplane_cli.serve:serve",
    "dlq": "navplane_cli.dlq:app",
    "ledger": "navplane_cli.ledger:app",
    "audit": "navplane_cli.audit:app",
    "keys": "navplane_cli.keys:app",
    "prices": "navplane_cli.prices:app",
    "jobs": "navplane_cli.jobs:app",
    "mail": "navplane_cli.mail:mail",
}


class Commands(TyperGroup):
    # typer brings its own copy of click, whose names are private: hence Any.
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        command = get_command(found if isinstance(found, typer.Typer) else _app_of(found))
        command.name = cmd_name
        return command


def _app_of(function: object) -> typer.Typer:
    single = typer.Typer(add_completion=False)
    single.command()(function)  # type: ignore[type-var]
    return single


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"navplane {__version__}")
        raise typer.Exit


@app.callback()
def navplane(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """NavPlane: a serverless AI gateway and control plane."""


if __name__ == "__main__":
    app(prog_name="navplane")
