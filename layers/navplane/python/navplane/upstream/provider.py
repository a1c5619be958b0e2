"""What a provider is. Those NavPlane speaks to are rows of upstream/providers.py."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from navplane.model.dialect import Dialect
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint

# Marks a request to an address that somebody chose: a NavPlane that receives it refuses, so no address leads back to one.
HOP_HEADER = b"x-navplane-hop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is dialled, and nothing else ever is: scheme, host, port, and the path in front of the provider's own. `guarded`:
    somebody typed it, so its name must resolve to public addresses and nothing else."""

    scheme: str
    host: str
    port: int
    base_path: str = ""
    guarded: bool = False

    @classmethod
    def parse(cls, url: str) -> "Origin":
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError(f"not an http(s) origin: {url!r}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(scheme=parts.scheme, host=parts.hostname, port=port, base_path=parts.path.rstrip("/"))


class AuthScheme(StrEnum):
    """How a provider wants its key. API_KEY: the header `api-key`. ANTHROPIC: `Authorization: Bearer` from version 2026-10-21
    on, `x-api-key` before."""

    BEARER = "bearer"
    ANTHROPIC = "anthropic"
    API_KEY = "api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAddress:
    """Of a provider that lives elsewhere for each key: `hosts` is a pattern of the whole host, None where any public one will
    do; `example` shows people what a base_url looks like. `within`: the hosts of each region, where a host says which it is
    in; where it doesn't, whoever stores the key answers for that."""

    hosts: str | None
    example: str
    within: Mapping[Region, str] = field(default_factory=dict)

    def is_in(self, region: Region, host: str) -> bool:
        return not self.within or (region in self.within and bool(re.fullmatch(self.within[region], host)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`models` are globs of the names that route here without a prefix, `paths` where each endpoint lives below the origin,
    `headers` what the registry itself adds where the caller sent none.

    `regions` are those whose workspaces may use `origin`, `other_hosts` what a region has in its place; a region that has
    neither can't use the provider.

    `accepts_include_usage`: a streamed chat needs the option to carry usage, and the provider takes it; False where usage
    comes anyway, or where it isn't documented that the option is taken. `reports_cost`: `usage.cost` is what the call cost,
    in USD. Exactly one of `origin` and `address` is there. `deployment_paths` are paths that name the model instead of the
    body. `key_refusals`: the statuses of a model call that mean a bad key; `invalid_key_statuses`: those of the validation.
    """

    name: str
    title: str
    dialect: Dialect
    origin: Origin | None
    auth: AuthScheme
    models: tuple[str, ...]
    paths: dict[Endpoint, str]
    accepts_include_usage: bool
    validation_path: str
    headers: tuple[tuple[str, str], ...] = ()
    regions: frozenset[Region] = frozenset({Region.US})
    other_hosts: Mapping[Region, Origin] = field(default_factory=dict)
    address: OwnAddress | None = None
    deployment_paths: dict[Endpoint, str] = field(default_factory=dict)
    reports_cost: bool = False
    key_refusals: frozenset[int] = frozenset({401, 403})
    invalid_key_statuses: frozenset[int] = frozenset({401, 403})

    def origin_in(self, region: Region) -> Origin | None:
        """Where its own host for the workspaces of a region is; None where it has none."""
        return self.origin if region in self.regions else self.other_hosts.get(region)
