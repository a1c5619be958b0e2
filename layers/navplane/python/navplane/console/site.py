"""Where the console is, as browsers see it, and what it works with."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from navplane.console.admin_api import AdminApi
from navplane.console.cookies import Jar
from navplane.console.identity_provider import IdentityProvider
from navplane.crypto.cookie import CookieSeal
from navplane.errors import BadRequest

PATH = "/console"
# A name or an address, and a port: what stands in a URL as it is.
HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`origin` is a scheme, a host, and a port if need be."""

    origin: str

    @property
    def secure(self) -> bool:
        return self.origin.startswith("https://")

    @property
    def redirect_uri(self) -> str:
        """Where the identity provider sends people back to: it must know this address."""
        return f"{self.origin}{PATH}/callback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """`site` is None where the console learns it from each request: behind API Gateway, which routes by the host's name."""

    provider: IdentityProvider
    admin: AdminApi
    seal: CookieSeal
    site: Site | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request's: the console, its site, and the browser's cookies."""

    console: Console
    site: Site
    jar: Jar


async def _visit(request: Request) -> Visit:
    console: Console = request.app.state.console
    site = console.site or _asked(request)
    return Visit(console=console, site=site, jar=Jar(console.seal, request.cookies, secure=site.secure))


def _asked(request: Request) -> Site:
    host = request.headers.get("host", "")
    if not HOST.fullmatch(host):
        raise BadRequest("The request does not say which host it is for.")
    return Site(origin=f"https://{host}")


TheVisit = Annotated[Visit, Depends(_visit)]
