"""The environment of `navplane serve`: where the database is, whose passwords are derived, and what is refused."""

import pytest
from navplane.errors import ConfigurationError
from navplane_cli.serve_settings import RoleSettings, ServeSettings, database_settings

URL = "postgresql://owner:a%2Flong%40secret-of-it@db.example.com:6543/plane"
ENVIRONMENT = {
    "NAVPLANE_DATABASE_URL": URL,
    "KEK_PROVIDER": "local",
    "ENCRYPTION_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "OIDC_ISSUER": "https://issuer.example.com",
    "OIDC_AUDIENCE": "navplane",
}


def test_a_url_says_where_the_database_is_and_signs_in_it_are_decoded() -> None:
    found = database_settings(URL)
    assert (found.host, found.port, found.name, found.user) == ("db.example.com", 6543, "plane", "owner")
    assert found.password is not None
    assert found.password.reveal() == b"a/long@secret-of-it"


def test_a_host_in_the_query_is_the_directory_of_a_socket() -> None:
    found = database_settings("postgresql://o:p@/plane?host=%2Frun%2Fpostgres&port=5433")
    assert (found.host, found.port, found.tls) == ("/run/postgres", 5433, False)


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("postgresql://o:p@db.example.com/n", True),
        ("postgresql://o:p@db.example.com/n?sslmode=disable", False),
        ("postgresql://o:p@127.0.0.1/n", False),
        ("postgresql://o:p@[::1]/n", False),
        ("postgresql://o:p@localhost/n", False),
        ("postgresql://o:p@127.0.0.1/n?sslmode=verify-full", True),
    ],
)
def test_tls_is_on_unless_it_is_disabled_or_nothing_leaves_the_machine(url: str, tls: bool) -> None:
    assert database_settings(url).tls is tls


@pytest.mark.parametrize(
    "url",
    ["", "db.example.com", "mysql://o:p@h/n", "postgresql://h/n", "postgresql://o:hidden@h", "postgresql://o:hidden@h:x/n",
     "postgresql://o:hidden@h/n?sslmode=prefer", "postgresql://o:hidden@[h/n"],
)  # fmt: skip
def test_an_unclear_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        database_settings(url)
    assert "hidden" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_replicas_derive_the_same_passwords_and_each_role_has_its_own() -> None:
    first, second = RoleSettings.from_env(ENVIRONMENT), RoleSettings.from_env(ENVIRONMENT)
    roles = ("navplane_gate", "navplane_writer", "navplane_admin")
    passwords = [first.password_of(role).reveal() for role in roles]
    assert passwords == [second.password_of(role).reveal() for role in roles]
    assert len(set(passwords)) == 3
    # A known answer: a release that derived others would lock out every replica of the one before.
    assert passwords[0] == b"vo8vKq1YCgT5LUOQCQyCPQ0VITmNxcRfNgUCUep_nr4"


def test_a_role_secret_outlives_a_change_of_the_owners_password() -> None:
    environment = ENVIRONMENT | {"NAVPLANE_ROLE_SECRET": "sixteen letters!"}
    changed = environment | {"NAVPLANE_DATABASE_URL": URL.replace("secret", "another")}
    one, other = (RoleSettings.from_env(env).password_of("navplane_gate").reveal() for env in (environment, changed))
    assert one == other
    assert one != RoleSettings.from_env(ENVIRONMENT).password_of("navplane_gate").reveal()


@pytest.mark.parametrize("url", ["postgresql://o@h/n", "postgresql://o:short@h/n"])
def test_a_secret_that_could_be_guessed_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="NAVPLANE_ROLE_SECRET"):
        RoleSettings.from_env({"NAVPLANE_DATABASE_URL": url})


def test_in_a_container_provider_traffic_cannot_be_redirected() -> None:
    ServeSettings.from_env(ENVIRONMENT)
    redirected = ENVIRONMENT | {"NAVPLANE_UPSTREAM_OVERRIDE_OPENAI": "http://127.0.0.1:9"}
    with pytest.raises(ConfigurationError, match="NAVPLANE_UPSTREAM_OVERRIDE_OPENAI"):
        ServeSettings.from_env(redirected)
    assert ServeSettings.from_env(redirected | {"NAVPLANE_MODE": "local"}).upstream.overrides == {
        "openai": "http://127.0.0.1:9"
    }


def test_with_sqs_there_must_be_a_dead_letter_queue() -> None:
    assert ServeSettings.from_env(ENVIRONMENT).queue is None
    with pytest.raises(ConfigurationError, match="DEAD_LETTER_QUEUE_URL"):
        ServeSettings.from_env(ENVIRONMENT | {"QUEUE_URL": "https://sqs.example.com/1/usage"})


def test_no_settings_show_a_secret() -> None:
    shown = repr(ServeSettings.from_env(ENVIRONMENT))
    assert "secret-of-it" not in shown
    assert ENVIRONMENT["ENCRYPTION_KEY"] not in shown
