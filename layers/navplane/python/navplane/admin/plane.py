"""What the handlers of one function hold: the wiring puts it together, `app.state.plane` carries it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from navplane.admin.access import Access
from navplane.admin.readiness import Readiness
from navplane.crypto.kek import KekWrapper
from navplane.model.mail import Mailer
from navplane.model.price_line import PricedCall, PriceLine
from navplane.model.probe import Probe
from navplane.model.tenancy import Region
from navplane.store.database import Database
from navplane.upstream.origin import Origins


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDesk:
    """What storing a provider key takes: a KEK to wrap with, the one that does once that is being retired, and where the
    providers are asked about the key. `loopback`: webhooks may be at a loopback address, as in local mode."""

    kek: KekWrapper
    origins: Origins
    successor: KekWrapper | None = None
    loopback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """`key_prefixes`: the first one is given to new API keys. Pages of `cors_origins`, and of no other origin, may call.
    `key_desk` and `probe` are there only where the provider-key routes are, `readiness` where /ready is, `list_lines` where
    requests are read: it explains a list price, if this release holds the list. Without a `mailer` nobody is invited."""

    database: Database
    access: Access
    region: Region
    key_prefixes: tuple[str, ...]
    cors_origins: tuple[str, ...] = ()
    key_desk: KeyDesk | None = None
    list_lines: Callable[[PricedCall], tuple[PriceLine, ...] | None] = lambda _: None
    probe: Probe | None = None
    mailer: Mailer | None = None
    readiness: Readiness = Readiness({})  # noqa: RUF009 - without probes it has no state worth a copy


async def _plane(request: Request) -> Plane:
    plane: Plane = request.app.state.plane
    return plane


ThePlane = Annotated[Plane, Depends(_plane)]
