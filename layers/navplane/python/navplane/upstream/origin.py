"""Where a provider is dialled: the registry's origin, an override of local mode, or the demo upstream. Nothing else ever is."""

from collections.abc import Mapping

from navplane.errors import ConfigurationError, UpstreamUnreachable
from navplane.upstream.provider import PROVIDERS, Origin, Provider


class Origins:
    """`overrides` maps a provider's name to a URL, `demo_url` is where demo keys go; both exist in local mode only.

    An override beats the registry, and a demo key goes to the demo upstream whatever the overrides say: a key that is not
    real never reaches a real provider. Raise ConfigurationError for an override of no known provider: a misspelt one would let
    traffic go to the real one.
    """

    def __init__(self, *, overrides: Mapping[str, str], demo_url: str | None) -> None:
        for name in set(overrides) - set(PROVIDERS):
            raise ConfigurationError(f"An upstream override is for {name!r}, but the providers are: {', '.join(PROVIDERS)}.")
        self._overrides = {name: Origin.parse(url) for name, url in overrides.items()}
        self._demo = Origin.parse(demo_url) if demo_url else None
        registered = {provider.origin for provider in PROVIDERS.values()}
        self._known = frozenset(registered | set(self._overrides.values()) | ({self._demo} if self._demo else set()))

    @property
    def demo_available(self) -> bool:
        return self._demo is not None

    def of(self, provider: Provider, *, demo: bool) -> Origin:
        """Raise UpstreamUnreachable for a demo key where there is no demo upstream."""
        if not demo:
            return self._overrides.get(provider.name, provider.origin)
        if self._demo is None:
            raise UpstreamUnreachable(
                "This organization holds a demo provider key, and there is no demo upstream here. Add a real provider key.",
                billable=False,
            )
        return self._demo

    def admit(self, origin: Origin) -> bool:
        """Whether `origin` may be dialled at all: the last check before a connection is made."""
        return origin in self._known
