"""Where a provider is dialled: at the registry's origin, at the address that its key brings (address.py), at an override of
local mode, or at the demo upstream. Nowhere else."""

from collections.abc import Mapping

from navplane.errors import ConfigurationError, RegionMismatch, UpstreamUnreachable
from navplane.model.tenancy import Region
from navplane.upstream.address import is_own, own_origin
from navplane.upstream.provider import Origin, Provider
from navplane.upstream.providers import PROVIDERS


class Origins:
    """`overrides` maps a provider's name to a URL, `demo_url` is where demo keys go; both exist in local mode only.

    An override beats the registry, and a demo key goes to the demo upstream whatever the overrides say: a key that is not
    real never reaches a real provider. Raise ConfigurationError for an override of no known provider: a misspelt one would let
    traffic go to the real one. `region` is the stack's, and so that of every workspace it serves: no host of another region
    is ever dialled.
    """

    def __init__(self, *, overrides: Mapping[str, str], demo_url: str | None, region: Region = Region.US) -> None:
        for name in set(overrides) - set(PROVIDERS):
            raise ConfigurationError(f"An upstream override is for {name!r}, but the providers are: {', '.join(PROVIDERS)}.")
        self._overrides = {name: Origin.parse(url) for name, url in overrides.items()}
        self._demo = Origin.parse(demo_url) if demo_url else None
        self._configured = frozenset({*self._overrides.values(), *([self._demo] if self._demo else [])})
        self._region = region
        hosts = (provider.origin_in(region) for provider in PROVIDERS.values())
        self._registered = frozenset(host for host in hosts if host)
        self._forms = tuple(provider.address for provider in PROVIDERS.values() if provider.address)

    @property
    def region(self) -> Region:
        return self._region

    @property
    def demo_available(self) -> bool:
        return self._demo is not None

    def of(self, provider: Provider, *, demo: bool, base_url: str | None = None) -> Origin:
        """`base_url` is the key's own, of a provider that lives elsewhere for each key. Raise UpstreamUnreachable for one that
        the provider doesn't take, and for a demo key where there is no demo upstream; RegionMismatch for a provider, or an
        address, that is not in this region."""
        if demo:
            return self._demo_origin()
        if provider.name in self._overrides:
            return self._overrides[provider.name]
        if provider.address is None:
            return self._in_region(provider, provider.origin_in(self._region))
        try:
            origin = own_origin(provider, base_url or "")
        except ValueError as exc:
            raise UpstreamUnreachable(f"The stored provider key can't be used: {exc}", billable=False) from exc
        return self._in_region(provider, origin if provider.address.is_in(self._region, origin.host) else None)

    def has(self, provider: Provider) -> bool:
        """Whether this region has a host of the provider's own."""
        return provider.name in self._overrides or provider.origin_in(self._region) is not None

    def _in_region(self, provider: Provider, origin: Origin | None) -> Origin:
        if origin is None:
            raise RegionMismatch(f"{provider.title} has no address that workspaces of the region {self._region.value} may use.")
        return origin

    def admit(self, origin: Origin) -> bool:
        """Whether `origin` may be dialled at all: the last check before a connection is made."""
        return (
            origin in self._registered
            or origin in self._configured
            or any(is_own(form, origin) and form.is_in(self._region, origin.host) for form in self._forms)
        )

    def may_lead_back(self, origin: Origin) -> bool:
        """Whether somebody chose this address, who may have chosen a NavPlane's."""
        return origin.guarded or origin in self._configured

    def _demo_origin(self) -> Origin:
        if self._demo is None:
            raise UpstreamUnreachable(
                "This organization holds a demo provider key, and there is no demo upstream here. Add a real provider key.",
                billable=False,
            )
        return self._demo
