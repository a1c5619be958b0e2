"""Which Postgres `navplane up` runs on."""

import pytest
from navplane_cli.up import other_postgres


def test_named_postgres_is_used() -> None:
    settings = other_postgres({"NAVPLANE_DATABASE_URL": "postgresql://me:secret@db.example:5433/navplane"})
    assert settings is not None
    assert (settings.host, settings.port) == ("db.example", 5433)
    assert other_postgres({}) is None


@pytest.mark.parametrize("directory", ["/home/me/navplane/.navplane/postgres.run", "/var/tmp/navplane-0-0123456789ab/data.run"])
def test_embedded_postgres_of_a_dev_env_is_left_alone(directory: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"postgresql://postgres:secret@/navplane?host={directory}&port=5432"
    assert other_postgres({"NAVPLANE_DATABASE_URL": url}) is None
    assert "is left alone" in capsys.readouterr().out
