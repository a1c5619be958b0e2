"""What each function is told by its environment. docs/reference/environment.md lists the variables."""

import os
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from navplane.config.environment import Environment, Mode, choose, key_prefixes, region_of, require, whole_number
from navplane.config.parts import (
    ConductSettings,
    DatabaseSettings,
    HeldSecret,
    KekSettings,
    MailSettings,
    OidcSettings,
    UpstreamSettings,
    issuer_and_audience,
    require_loopback,
)
from navplane.errors import ConfigurationError
from navplane.model.tenancy import Region


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
    """`request_log_months`: how many whole months request logs are kept; 0 for good. `probe_function`: what asks providers."""

    database: DatabaseSettings
    queue_url: str
    dead_letter_queue_url: str
    request_log_months: int
    probe_function: str
    region: Region

    @classmethod
    def from_env(cls, env: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_env(env),
            queue_url=require(env, "QUEUE_URL"),
            dead_letter_queue_url=require(env, "DEAD_LETTER_QUEUE_URL"),
            request_log_months=request_log_months(env),
            probe_function=require(env, "PROVIDER_PROBE_FUNCTION"),
            region=region_of(env),
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
