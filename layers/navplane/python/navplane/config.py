"""What each function needs from its environment: one frozen dataclass per function, read once, at start.

Only functions and the CLI import this; below them nobody reads the environment. docs/reference/environment.md is the list.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from navplane.errors import ConfigurationError
from navplane.model.provider_key import Secret
from navplane.model.tenancy import Region

Environment = Mapping[str, str]
OVERRIDE_PREFIX = "NAVPLANE_UPSTREAM_OVERRIDE_"
Choice = TypeVar("Choice", bound=StrEnum)


class Mode(StrEnum):
    """Where this process runs. Only LOCAL may send provider traffic to a loopback address."""

    AWS = "aws"
    CONTAINER = "container"
    LOCAL = "local"


def require(env: Environment, name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigurationError(f"{name} is not set. docs/reference/environment.md says what it is.")
    return value


def choose(env: Environment, name: str, kind: type[Choice], default: Choice) -> Choice:
    value = env.get(name) or default.value
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(member.value for member in kind)
        raise ConfigurationError(f"{name} is {value!r}; it must be one of: {choices}.") from None


def whole_number(env: Environment, name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdecimal():
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number.")
    return int(value)


class DatabaseAuth(StrEnum):
    PASSWORD = "password"  # noqa: S105 - the name of a method, not a password
    IAM = "iam"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where Postgres is and as whom. A `host` that begins with `/` is the directory of a unix socket. With IAM the password
    is a short-lived token and TLS is always on."""

    host: str
    port: int
    name: str
    user: str
    auth: DatabaseAuth
    password: Secret | None
    tls: bool
    tls_ca_file: str | None

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        auth = choose(env, "DATABASE_AUTH", DatabaseAuth, DatabaseAuth.PASSWORD)
        host = require(env, "DATABASE_HOST")
        password = Secret(require(env, "DATABASE_PASSWORD").encode()) if auth is DatabaseAuth.PASSWORD else None
        return cls(
            host=host,
            port=whole_number(env, "DATABASE_PORT", 5432),
            name=env.get("DATABASE_NAME") or "navplane",
            user=require(env, "DATABASE_USER"),
            auth=auth,
            password=password,
            tls=auth is DatabaseAuth.IAM or env.get("DATABASE_TLS", "off") != "off",
            tls_ca_file=env.get("DATABASE_TLS_CA_FILE") or None,
        )


class KekProvider(StrEnum):
    LOCAL = "local"
    AWS_KMS = "aws_kms"


@dataclass(frozen=True, slots=True, kw_only=True)
class KekSettings:
    """`local`: a 32-byte key, base64, in ENCRYPTION_KEY, or in the Secrets Manager secret ENCRYPTION_KEY_SECRET_ID names.
    `aws_kms`: the key KMS_KEY_ID. `successor` is the KEK that is to replace it: the same names with _NEW."""

    provider: KekProvider
    encryption_key: Secret | None
    encryption_key_secret_id: str | None
    kms_key_id: str | None
    successor: "KekSettings | None" = None

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        provider = choose(env, "KEK_PROVIDER", KekProvider, KekProvider.AWS_KMS)
        key, secret_id = env.get("ENCRYPTION_KEY"), env.get("ENCRYPTION_KEY_SECRET_ID") or None
        if provider is KekProvider.LOCAL and not (key or secret_id):
            raise ConfigurationError(
                "KEK_PROVIDER is local: set ENCRYPTION_KEY (32 bytes, base64) or ENCRYPTION_KEY_SECRET_ID."
            )
        return cls(
            provider=provider,
            encryption_key=Secret(key.encode()) if key else None,
            encryption_key_secret_id=secret_id,
            kms_key_id=require(env, "KMS_KEY_ID") if provider is KekProvider.AWS_KMS else None,
            successor=cls._successor(env),
        )

    @classmethod
    def _successor(cls, env: Environment) -> Self | None:
        """One of ENCRYPTION_KEY_NEW, ENCRYPTION_KEY_NEW_SECRET_ID and KMS_KEY_ID_NEW, while a rotation goes on."""
        key, secret_id = env.get("ENCRYPTION_KEY_NEW") or None, env.get("ENCRYPTION_KEY_NEW_SECRET_ID") or None
        kms_key_id = env.get("KMS_KEY_ID_NEW") or None
        given = [value for value in (key, secret_id, kms_key_id) if value]
        if not given:
            return None
        if len(given) > 1:
            raise ConfigurationError(
                "There can be one new KEK: set one of ENCRYPTION_KEY_NEW, ENCRYPTION_KEY_NEW_SECRET_ID and KMS_KEY_ID_NEW."
            )
        return cls(
            provider=KekProvider.AWS_KMS if kms_key_id else KekProvider.LOCAL,
            encryption_key=Secret(key.encode()) if key else None,
            encryption_key_secret_id=secret_id,
            kms_key_id=kms_key_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """Where providers are, when not where the registry says: loopback addresses, in local mode only.

    `overrides` maps a provider's name to a URL; `demo_url` is the demo upstream, to which demo provider keys route. `loopback`:
    local mode, where webhooks may be at a loopback address too.
    """

    overrides: Mapping[str, str] = field(default_factory=dict)
    demo_url: str | None = None
    loopback: bool = False

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        mode = choose(env, "NAVPLANE_MODE", Mode, Mode.AWS)
        names = [name for name in env if name.startswith(OVERRIDE_PREFIX)]
        names += ["NAVPLANE_DEMO_UPSTREAM"] if env.get("NAVPLANE_DEMO_UPSTREAM") else []
        for name in names:
            if mode is not Mode.LOCAL:
                raise ConfigurationError(
                    f"{name} is set, but NAVPLANE_MODE is {mode.value}: unset it. "
                    "Provider traffic may be redirected in local mode only."
                )
            require_loopback(name, env[name])
        overrides = {n.removeprefix(OVERRIDE_PREFIX).lower(): env[n] for n in names if n.startswith(OVERRIDE_PREFIX)}
        demo_url = env.get("NAVPLANE_DEMO_UPSTREAM") or None
        return cls(overrides=overrides, demo_url=demo_url, loopback=mode is Mode.LOCAL)


def require_loopback(name: str, url: str) -> None:
    """Raise ConfigurationError unless `url` is http:// at a literal loopback address."""
    try:
        parts = urlsplit(url)
        bare = parts.port != 0 and not (parts.username or parts.query or parts.fragment)
        loopback = bare and parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(f"{name} is {url!r}; it must be http:// at a loopback address, such as http://127.0.0.1:9000.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """Whose tokens the admin API takes, and for whom they must be meant. `admin_subjects` are platform admins whatever their
    claims say: the way in for the first one. `others` are further issuers, each with its audience."""

    issuer: str
    audience: str
    admin_subjects: frozenset[str]
    others: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        subjects = env.get("PLATFORM_ADMIN_SUBJECTS", "")
        issuer, audience = issuer_and_audience(env)
        return cls(
            issuer=issuer,
            audience=audience,
            admin_subjects=frozenset(subject.strip() for subject in subjects.split(",") if subject.strip()),
            others=_other_issuers(env, first=issuer),
        )


def issuer_and_audience(env: Environment) -> tuple[str, str]:
    """OIDC_ISSUER and OIDC_AUDIENCE, or AUTH0_DOMAIN and AUTH0_AUDIENCE in their place."""
    domain = env.get("AUTH0_DOMAIN")
    if not domain:
        return require(env, "OIDC_ISSUER").rstrip("/"), require(env, "OIDC_AUDIENCE")
    if env.get("OIDC_ISSUER"):
        raise ConfigurationError("OIDC_ISSUER and AUTH0_DOMAIN are both set: unset one. OIDC_OTHER_ISSUERS takes more issuers.")
    if "/" in domain or ":" in domain:
        raise ConfigurationError(f"AUTH0_DOMAIN is {domain!r}; it is a host alone, such as acme.eu.auth0.com.")
    return f"https://{domain}", require(env, "AUTH0_AUDIENCE")


def _other_issuers(env: Environment, *, first: str) -> Mapping[str, str]:
    """OIDC_OTHER_ISSUERS: `issuer audience`, and commas between them."""
    others: dict[str, str] = {}
    for part in (part for part in env.get("OIDC_OTHER_ISSUERS", "").split(",") if part.strip()):
        match part.split():
            case [issuer, audience] if issuer.rstrip("/") not in (first, *others) and "://" in issuer:
                others[issuer.rstrip("/")] = audience
            case _:
                raise ConfigurationError(
                    f"OIDC_OTHER_ISSUERS has {part.strip()!r}; it looks like `https://one.example.com audience, "
                    "https://two.example.com audience`, and names each issuer once."
                )
    return others


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """Who mail is from, sent by SES; or, in local mode, the directory where it stays instead."""

    sender: str | None
    outbox: Path | None

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        sender, outbox = env.get("MAIL_SENDER") or None, env.get("MAIL_OUTBOX") or None
        mode = choose(env, "NAVPLANE_MODE", Mode, Mode.AWS)
        if outbox and mode is not Mode.LOCAL:
            raise ConfigurationError("MAIL_OUTBOX is set, but NAVPLANE_MODE is not local: unset it. Mail holds secrets.")
        return cls(sender=sender, outbox=Path(outbox) if outbox else None)


def region_of(env: Environment) -> Region:
    return choose(env, "NAVPLANE_REGION", Region, Region.US)


def key_prefixes(env: Environment) -> tuple[str, ...]:
    """The prefixes of API keys; the first one is given to new keys."""
    prefixes = tuple(part.strip() for part in (env.get("API_KEY_PREFIXES") or "np_").split(",") if part.strip())
    for prefix in prefixes:
        if not (prefix.isascii() and prefix.endswith("_") and prefix[:-1].isalnum() and len(prefix) <= 16):
            raise ConfigurationError(
                f"API_KEY_PREFIXES has {prefix!r}; a prefix is letters and digits and ends with _, such as np_."
            )
    return prefixes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    database: DatabaseSettings
    kek: KekSettings
    upstream: UpstreamSettings
    region: Region
    key_prefixes: tuple[str, ...]
    queue_url: str
    max_body_bytes: int

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            kek=KekSettings.from_env(env),
            upstream=UpstreamSettings.from_env(env),
            region=region_of(env),
            key_prefixes=key_prefixes(env),
            queue_url=require(env, "QUEUE_URL"),
            max_body_bytes=whole_number(env, "MAX_BODY_BYTES", 20 * 1024 * 1024),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConductSettings:
    """How often one principal may call the admin API, in a minute, and the pages of which origins may: exact origins, such as
    https://console.example.com, and none unless named."""

    reads_per_minute: int
    writes_per_minute: int
    cors_origins: tuple[str, ...]

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        origins = tuple(part.strip() for part in env.get("ADMIN_CORS_ORIGINS", "").split(",") if part.strip())
        for origin in origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
                raise ConfigurationError(
                    f"ADMIN_CORS_ORIGINS has {origin!r}; an origin is a scheme, a host and a port if need be, "
                    "such as https://console.example.com."
                )
        return cls(
            reads_per_minute=whole_number(env, "ADMIN_READS_PER_MINUTE", 30),
            writes_per_minute=whole_number(env, "ADMIN_WRITES_PER_MINUTE", 10),
            cors_origins=origins,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """What admin_tenancy, admin_policies and admin_analytics need."""

    database: DatabaseSettings
    oidc: OidcSettings
    region: Region
    key_prefixes: tuple[str, ...]
    conduct: ConductSettings

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            oidc=OidcSettings.from_env(env),
            region=region_of(env),
            key_prefixes=key_prefixes(env),
            conduct=ConductSettings.from_env(env),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TenancySettings:
    """admin_tenancy: the admin settings, and how invitations are mailed."""

    admin: AdminSettings
    mail: MailSettings

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(admin=AdminSettings.from_env(env), mail=MailSettings.from_env(env))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKeysSettings:
    """admin_provider_keys: the admin settings, a KEK to wrap with, where keys are validated, the queue /ready asks, and the
    function that may open a stored key."""

    admin: AdminSettings
    kek: KekSettings
    upstream: UpstreamSettings
    queue_url: str
    probe_function: str

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            admin=AdminSettings.from_env(env),
            kek=KekSettings.from_env(env),
            upstream=UpstreamSettings.from_env(env),
            queue_url=require(env, "QUEUE_URL"),
            probe_function=require(env, "PROVIDER_PROBE_FUNCTION"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSettings:
    """request_log_writer."""

    database: DatabaseSettings
    queue_url: str
    dead_letter_queue_url: str

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            queue_url=require(env, "QUEUE_URL"),
            dead_letter_queue_url=require(env, "DEAD_LETTER_QUEUE_URL"),
        )


def request_log_months(env: Environment) -> int:
    """0 keeps request logs for good. A dead letter may come back for 28 days, and a month must be over before it goes."""
    months = whole_number(env, "REQUEST_LOG_MONTHS", 13)
    if months == 1:
        raise ConfigurationError("REQUEST_LOG_MONTHS is 1; it must be 0 (keep everything) or at least 2.")
    return months


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceSettings:
    """`request_log_months`: how many whole months request logs are kept; 0 for good."""

    database: DatabaseSettings
    queue_url: str
    dead_letter_queue_url: str
    request_log_months: int

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            queue_url=require(env, "QUEUE_URL"),
            dead_letter_queue_url=require(env, "DEAD_LETTER_QUEUE_URL"),
            request_log_months=request_log_months(env),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodySettings:
    """What keeps keys: audit_sign."""

    database: DatabaseSettings
    kek: KekSettings
    region: Region

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(database=DatabaseSettings.from_env(env), kek=KekSettings.from_env(env), region=region_of(env))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """provider_probe."""

    database: DatabaseSettings
    kek: KekSettings
    upstream: UpstreamSettings
    region: Region

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            kek=KekSettings.from_env(env),
            upstream=UpstreamSettings.from_env(env),
            region=region_of(env),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierSettings:
    """notifier. `mail_from` is the address that mail is sent from; empty where there is no mail."""

    database: DatabaseSettings
    kek: KekSettings
    mail_from: str
    loopback: bool

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            kek=KekSettings.from_env(env),
            mail_from=env.get("MAIL_SENDER", ""),
            loopback=choose(env, "NAVPLANE_MODE", Mode, Mode.AWS) is Mode.LOCAL,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateSettings:
    database: DatabaseSettings

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(database=DatabaseSettings.from_env(env))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSecret:
    """A secret that is given itself, or as the name or ARN of the Secrets Manager secret that holds it."""

    name: str
    value: Secret | None
    secret_id: str | None

    @classmethod
    def from_env(cls, env: Environment, name: str, *, id_name: str) -> Self | None:
        value, secret_id = env.get(name), env.get(id_name) or None
        if not (value or secret_id):
            return None
        return cls(name=name, value=Secret(value.encode()) if value else None, secret_id=secret_id)


CONSOLE_PATH = "/console"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """`url` is the console's own, as browsers see it; None means https:// and the host that a request is for. `client_secret`
    is None for a public client."""

    issuer: str
    audience: str
    client_id: str
    client_secret: HeldSecret | None
    session_key: HeldSecret
    admin_api_url: str
    url: str | None

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        session_key = HeldSecret.from_env(env, "CONSOLE_SESSION_KEY", id_name="CONSOLE_SESSION_KEY_SECRET_ID")
        if session_key is None:
            raise ConfigurationError("Set CONSOLE_SESSION_KEY (32 random characters or more) or CONSOLE_SESSION_KEY_SECRET_ID.")
        issuer, audience = issuer_and_audience(env)
        return cls(
            issuer=issuer,
            audience=audience,
            client_id=require(env, "CONSOLE_CLIENT_ID"),
            client_secret=HeldSecret.from_env(env, "CONSOLE_CLIENT_SECRET", id_name="CONSOLE_CLIENT_SECRET_ID"),
            session_key=session_key,
            admin_api_url=require(env, "ADMIN_API_URL"),
            url=console_url(env),
        )


def console_url(env: Environment) -> str | None:
    """Raise ConfigurationError unless it is https:// (http:// on a loopback address) and ends with /console."""
    url = env.get("CONSOLE_URL") or None
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.path != CONSOLE_PATH or parts.query or parts.fragment or parts.username or not parts.hostname:
        raise ConfigurationError(f"CONSOLE_URL is {url!r}; it looks like https://navplane.example.com{CONSOLE_PATH}.")
    if parts.scheme != "https":
        require_loopback("CONSOLE_URL", url)
    return url
