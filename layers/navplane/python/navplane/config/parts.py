"""Settings that several functions have in common: where the database, the keys, the providers and the issuer are."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from navplane.config.environment import Environment, Mode, choose, require, whole_number
from navplane.errors import ConfigurationError
from navplane.model.provider_key import Secret

OVERRIDE_PREFIX = "NAVPLANE_UPSTREAM_OVERRIDE_"


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
