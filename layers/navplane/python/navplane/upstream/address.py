"""Addresses that a provider key brings along: which are taken, and that none of them leads inside.

A host of a known form is the provider's own. Any other (`custom`) is guarded: its name is resolved anew for each connection,
all its addresses must be public, and the connection goes to one of those that were looked at.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from navplane.upstream.provider import Origin, OwnAddress, Provider

HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*){0,8}")
# Each of these hides an IPv4 address, of which is_global says nothing: NAT64 (RFC 6052, 8215), 6to4 and Teredo.
_TRANSLATING = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class NotPublic(OSError):
    """A name leads, or also leads, to where nobody outside should get."""


def own_origin(provider: Provider, base_url: str) -> Origin:
    """Raise ValueError, with a reason fit for the one who typed it."""
    address = provider.address
    if address is None:
        raise ValueError(f"{provider.title} has an address of its own: leave base_url out.")
    origin = _parsed(base_url.strip(), guarded=address.hosts is None)
    if origin is None or not is_own(address, origin):
        raise ValueError(f"base_url is not an address that {provider.title} takes. It looks like {address.example}.")
    return origin


def is_own(address: OwnAddress, origin: Origin) -> bool:
    """Whether `origin` is of the form that keys of this kind may name."""
    if origin.scheme != "https" or not HOST.fullmatch(origin.host) or not _BASE_PATH.fullmatch(origin.base_path):
        return False
    if address.hosts is None:
        return origin.guarded
    return not origin.guarded and origin.port == 443 and not origin.base_path and bool(re.fullmatch(address.hosts, origin.host))


def is_public(address: str) -> bool:
    """Not private, loopback, link-local, multicast, reserved, or translated into an address that might be."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    found = mapped or found
    translated = any(found in network for network in _TRANSLATING if network.version == found.version)
    return found.is_global and not found.is_multicast and not translated


def public_addresses(host: str, port: int) -> Sequence[str]:
    """What `host` resolves to. Raise OSError when it doesn't, NotPublic when one of its addresses is not public."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(answer[4][0]) for answer in answers]
    require_public(addresses)
    return addresses


def require_public(addresses: Sequence[str]) -> None:
    if not addresses or not all(map(is_public, addresses)):
        raise NotPublic("the name resolves to an address that is not public")


def _parsed(url: str, *, guarded: bool) -> Origin | None:
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return None
    credentials = "@" in parts.netloc
    if credentials or parts.query or parts.fragment or not url.isascii() or not url.isprintable() or url.endswith(("?", "#")):
        return None
    path = parts.path.rstrip("/")
    return Origin(scheme=parts.scheme, host=parts.hostname or "", port=port, base_path=path, guarded=guarded)
