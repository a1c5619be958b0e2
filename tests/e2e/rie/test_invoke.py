"""`make invoke` as it is typed."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from navplane_local.invoke import ROOT

from tests.support.postgres import TestDatabase


def invoke(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DATABASE_", "NAVPLANE_"))}
    env = own | {"NAVPLANE_STATE_DIR": str(state)}
    command = [sys.executable, "-m", "navplane_local.invoke", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=env)


@pytest.fixture
def platform(tmp_path: Path, databases: TestDatabase) -> Path:
    """The state of a platform that runs."""
    settings = databases.settings("navplane_gate")
    url = "postgresql://postgres:secret@/{DATABASE_NAME}?host={DATABASE_HOST}&port={DATABASE_PORT}&sslmode=disable"
    (tmp_path / "dev.env").write_text(f"NAVPLANE_DATABASE_URL='{url.format(**settings)}'\n")
    (tmp_path / "secrets.json").write_text(json.dumps({"passwords": {"navplane_gate": settings["DATABASE_PASSWORD"]}}))
    (tmp_path / "kek.key").write_text(base64.b64encode(bytes(32)).decode())
    return tmp_path


@pytest.mark.usefixtures("host_build")
def test_answer_is_printed_as_http(tmp_path: Path) -> None:
    result = invoke("proxy", "tests/events/proxy-health.json", state=tmp_path)
    assert result.returncode == 0, result.stderr
    head, _, body = result.stdout.partition("\n\n")
    assert head.startswith("HTTP 200\n")
    assert "content-type: application/json" in head
    json.loads(body)


@pytest.mark.usefixtures("host_build")
def test_database_of_a_running_platform_is_used(platform: Path) -> None:
    result = invoke("proxy", "tests/events/proxy-chat.json", state=platform)
    assert result.stdout.startswith("HTTP 401\n"), result.stdout + result.stderr


@pytest.mark.usefixtures("host_build")
def test_without_a_database_the_dependency_is_blamed(tmp_path: Path) -> None:
    result = invoke("proxy", "tests/events/proxy-chat.json", state=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("HTTP 503\n"), result.stdout + result.stderr


@pytest.mark.usefixtures("host_build")
def test_function_error_is_the_exit_status(tmp_path: Path) -> None:
    result = invoke("maintenance", "tests/events/maintenance-schedule.json", state=tmp_path)
    assert result.returncode == 1
    assert json.loads(result.stdout)["errorType"] == "DependencyUnavailable"


@pytest.mark.parametrize("arguments", [(), ("proxy", ""), ("no_such_function", "tests/events/proxy-health.json")])
def test_misuse_explains_itself(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments, state=tmp_path)
    assert result.returncode == 2
    assert "proxy" in result.stderr
