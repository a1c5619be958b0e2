"""What `navplane serve` says when it can't start: a sentence with the reason, and status 2."""

import subprocess
import sys

import pytest
from navplane_local.postgres import EmbeddedPostgres


def refused(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "navplane_cli.main", "serve", "--port", "0"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_wrong_password_is_named_and_not_shown(environment: dict[str, str], server: EmbeddedPostgres) -> None:
    said = refused(environment | {"NAVPLANE_DATABASE_URL": server.database_url(password="wrong-password-of-postgres")})
    assert 'password authentication failed for user "postgres"' in said
    assert "wrong-password-of-postgres" not in said


def test_a_role_that_may_not_make_roles_is_told_so(environment: dict[str, str], server: EmbeddedPostgres) -> None:
    with server.connect() as connection:
        connection.run("CREATE ROLE weak LOGIN PASSWORD 'weak-password-of-weak'")
        connection.run("CREATE DATABASE weak OWNER weak")
    url = server.database_url("weak", password="weak-password-of-weak", database="weak")
    assert "permission denied to " in refused(environment | {"NAVPLANE_DATABASE_URL": url})


def test_a_server_that_is_not_there_is_named(environment: dict[str, str]) -> None:
    said = refused(environment | {"NAVPLANE_DATABASE_URL": "postgresql://o:a-long-enough-password@127.0.0.1:1/navplane"})
    assert "The Postgres of NAVPLANE_DATABASE_URL at 127.0.0.1 can't be used: Connection refused." in said


@pytest.mark.parametrize("key", ["not base64", "c2hvcnQ="])
def test_an_encryption_key_that_is_none_is_refused(environment: dict[str, str], key: str) -> None:
    said = refused(environment | {"ENCRYPTION_KEY": key})
    assert "encryption key" in said
    assert "openssl rand -base64 32" in said
