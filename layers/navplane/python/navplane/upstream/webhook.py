"""Posts to an address that somebody typed. Nothing of the answer is read but its status, and no redirect is followed.

A name is resolved anew for each delivery, all its addresses must be public, and the connection goes to one that was looked at.
"""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from navplane.upstream.address import HOST, NotPublic, public_addresses
from navplane.upstream.provider import HOP_HEADER

TIMEOUT_SECONDS = 10.0
# For all of it: who answers a byte at a time must not hold the sender.
WALL_SECONDS = 15.0
LONGEST_URL = 1000


class NotDelivered(Exception):
    """Says why in words fit for whoever set up the destination; nothing in it is the receiver's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookURL:
    """`origin` is what may be shown: a path can hold a token. `guarded`: where its name leads must be public."""

    scheme: str
    host: str
    port: int
    target: str
    guarded: bool

    @property
    def origin(self) -> str:
        usual = 443 if self.scheme == "https" else 80
        return f"{self.scheme}://{self.authority}" if self.port != usual else f"{self.scheme}://{self.host}"

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}".removesuffix(":443" if self.scheme == "https" else ":80")


def webhook_url(url: str, *, loopback: bool) -> WebhookURL:
    """Raise ValueError, with a reason fit for the one who typed it. `loopback`: `http://` at a literal loopback address is
    taken too, as in local mode."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
    except ValueError:
        raise ValueError("The address is not a URL.") from None
    if "@" in parts.netloc or parts.fragment or len(url) > LONGEST_URL or not url.isascii() or set(url) & set(" \\\t\r\n"):
        raise ValueError("The address is a plain URL without credentials and fragment, such as https://example.com/hooks/1.")
    guarded = parts.scheme == "https" and bool(HOST.fullmatch(host))
    if not guarded and not (loopback and parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("The address begins with https:// and a host name.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookURL(scheme=parts.scheme, host=host, port=port, target=target, guarded=guarded)


async def post(url: WebhookURL, *, headers: Mapping[str, str], body: bytes) -> None:
    """Return once a 2xx is there. Raise NotDelivered for everything else."""
    try:
        async with asyncio.timeout(WALL_SECONDS):
            status = await _post(url, headers, body)
    except NotPublic as exc:
        raise NotDelivered("The name leads to an address that is not public.") from exc
    except TimeoutError as exc:
        raise NotDelivered("No answer in time.") from exc
    except (httpx2.HTTPError, OSError, ValueError) as exc:
        raise NotDelivered("The address could not be reached.") from exc
    if not 200 <= status < 300:
        raise NotDelivered(f"Answered with status {status}.")


async def _post(url: WebhookURL, headers: Mapping[str, str], body: bytes) -> int:
    host, extensions = url.host, {}
    if url.guarded:
        host = (await asyncio.to_thread(public_addresses, url.host, url.port))[0]
        extensions = {"sni_hostname": url.host}
    # A NavPlane that is called by one, even itself, refuses.
    sent = {"host": url.authority, HOP_HEADER.decode(): "1", "content-type": "application/json", **headers}
    address = httpx2.URL(scheme=url.scheme, host=host, port=url.port, raw_path=url.target.encode())
    async with (
        httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=TIMEOUT_SECONDS) as client,
        client.stream("POST", address, headers=sent, content=body, extensions=extensions) as answer,
    ):
        return answer.status_code


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
