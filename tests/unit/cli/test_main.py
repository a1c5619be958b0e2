"""The `navplane` command itself."""

import pytest
from navplane import __version__
from navplane_cli.main import COMMANDS, app
from typer.testing import CliRunner


def test_version_is_told() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.output.split()) == (0, ["navplane", __version__])


@pytest.mark.parametrize("command", [*COMMANDS])
def test_each_command_explains_itself(command: str) -> None:
    told = CliRunner().invoke(app, [command, "--help"])
    assert told.exit_code == 0
    assert "--help" in told.output


def test_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(app, ["nothing"]).exit_code == 2
