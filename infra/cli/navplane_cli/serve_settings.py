"""What `navplane serve` needs from its environment. docs/reference/environment.md is the list."""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from navplane.config import (
    ConductSettings,
    ConsoleSettings,
    DatabaseAuth,
    DatabaseSettings,
    Environment,
    KekSettings,
    MailSettings,
    Mode,
    OidcSettings,
    UpstreamSettings,
    console_url,
    key_prefixes,
    region_of,
    request_log_months,
    require,
    require_loopback,
    whole_number,
)
from navplane.errors import ConfigurationError
from navplane.model.provider_key import Secret
from navplane.model.tenancy import Region

# Never looked up: requests to it are handed to the admin API's application.
IN_PROCESS = "http://admin.navplane.internal"
URL_NAME = "NAVPLANE_DATABASE_URL"
_TLS_MODES = {"disable": False, "require": True, "verify-ca": True, "verify-full": True}
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """SQS, where a queue is named; without it usage events go through a table of the database."""

    queue_url: str
    dead_letter_queue_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSettings:
    """`database` is the server and the role that may create NavPlane's roles; `secret` is what their passwords are derived
    from, so that every replica and every restart knows them and nobody has to keep five more secrets."""

    database: DatabaseSettings
    secret: Secret

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        database = database_settings(require(env, URL_NAME))
        return cls(database=database, secret=_role_secret(env, database))

    def password_of(self, role: str) -> Secret:
        """HMAC-SHA-256 over the role's name: knowing one role's password tells nothing about another's or the secret."""
        digest = hmac.digest(self.secret.reveal(), f"navplane role password v1|{role}".encode(), "sha256")
        return Secret(urlsafe_b64encode(digest).rstrip(b"="))

    def of(self, role: str) -> DatabaseSettings:
        return replace(self.database, user=role, password=self.password_of(role))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    roles: RoleSettings
    queue: QueueSettings | None
    kek: KekSettings
    upstream: UpstreamSettings
    oidc: OidcSettings
    region: Region
    key_prefixes: tuple[str, ...]
    conduct: ConductSettings
    console: ConsoleSettings | None
    mail: MailSettings
    max_body_bytes: int
    request_log_months: int

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        env = {"NAVPLANE_MODE": Mode.CONTAINER.value, **env}
        roles = RoleSettings.from_env(env)
        return cls(
            roles=roles,
            queue=_queue(env),
            kek=KekSettings.from_env(env),
            upstream=UpstreamSettings.from_env(env),
            oidc=OidcSettings.from_env(env),
            region=region_of(env),
            key_prefixes=key_prefixes(env),
            conduct=ConductSettings.from_env(env),
            console=_console(env, roles),
            mail=MailSettings.from_env(env),
            max_body_bytes=whole_number(env, "MAX_BODY_BYTES", 20 * 1024 * 1024),
            request_log_months=request_log_months(env),
        )


def database_settings(url: str) -> DatabaseSettings:
    """postgresql://user:password@host:port/name, or …@/name?host=/directory/of/the/socket, with sslmode and sslrootcert.

    TLS is on unless sslmode=disable, the host is a socket, or it is a loopback address. Raise ConfigurationError.
    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        host, port = options.pop("host", "") or parts.hostname or "", int(options.pop("port", 0) or parts.port or 5432)
    except ValueError:
        # Said without the URL and without the cause: both may show the password.
        raise ConfigurationError(f"{URL_NAME} can't be read. {_EXAMPLE}") from None
    if parts.scheme not in ("postgres", "postgresql") or not host or not parts.username or not parts.path.strip("/"):
        raise ConfigurationError(f"{URL_NAME} must name a user, a host and a database. {_EXAMPLE}")
    return DatabaseSettings(
        host=host,
        port=port,
        name=unquote(parts.path.strip("/")),
        user=unquote(parts.username),
        auth=DatabaseAuth.PASSWORD,
        password=Secret(unquote(parts.password or "").encode()),
        tls=_tls(options.pop("sslmode", None), host),
        tls_ca_file=options.pop("sslrootcert", None),
    )


_EXAMPLE = "It looks like postgresql://user:password@host:5432/navplane; signs in the password are percent-encoded."


def _tls(mode: str | None, host: str) -> bool:
    if mode is None:
        return not (host.startswith("/") or _is_loopback(host))
    if mode not in _TLS_MODES:
        raise ConfigurationError(f"{URL_NAME} has sslmode={mode!r}; it must be one of: {', '.join(_TLS_MODES)}.")
    return _TLS_MODES[mode]


def _is_loopback(host: str) -> bool:
    try:
        require_loopback(URL_NAME, f"http://[{host}]" if ":" in host else f"http://{host}")
    except ConfigurationError:
        return host == "localhost"
    return True


def _role_secret(env: Mapping[str, str], database: DatabaseSettings) -> Secret:
    """NAVPLANE_ROLE_SECRET, or the password in the URL: both are the same for every replica."""
    given = env.get("NAVPLANE_ROLE_SECRET", "").encode() or (database.password.reveal() if database.password else b"")
    if len(given) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"Set NAVPLANE_ROLE_SECRET to at least {_SHORTEST_SECRET} random characters: the passwords of NavPlane's database "
            f"roles are derived from it. Without it the password in {URL_NAME} is used, which is too short or absent."
        )
    return Secret(given)


def _console(env: Environment, roles: RoleSettings) -> ConsoleSettings | None:
    """Served where CONSOLE_URL says what its address is. It asks the admin API of its own process; without a key of its own its
    cookies are sealed with one that is derived as the roles' passwords are, so that every replica has the same."""
    if console_url(env) is None:
        return None
    derived = roles.password_of("console session key").reveal().decode()
    given = {"ADMIN_API_URL": IN_PROCESS, "CONSOLE_CLIENT_ID": "navplane-console"}
    if not env.get("CONSOLE_SESSION_KEY_SECRET_ID"):
        given["CONSOLE_SESSION_KEY"] = derived
    return ConsoleSettings.from_env(
        {**given, **{name: value for name, value in env.items() if value}, "ADMIN_API_URL": IN_PROCESS}
    )


def _queue(env: Mapping[str, str]) -> QueueSettings | None:
    if not env.get("QUEUE_URL"):
        return None
    return QueueSettings(queue_url=env["QUEUE_URL"], dead_letter_queue_url=require(env, "DEAD_LETTER_QUEUE_URL"))
