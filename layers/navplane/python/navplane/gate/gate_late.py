"""A gate that is made when it is first asked: what it imports and opens must not be a part of every cold start."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock

from navplane.gate.gate import Admission, Ask, Caller, Charge, Expired, Gate, Menu, Owner, Refusal, RefusalReason
from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId
from navplane.model.tenancy import Region


class LateGate:
    """Stands for the gate that `make` gives. `make` is called once, from the thread that asks first."""

    def __init__(self, make: Callable[[], Gate]) -> None:
        self._make, self._lock = make, Lock()
        self._made: Gate | None = None

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        return self._gate().admit(ask, now)

    def menu(
        self, key_digest: bytes, *, dialect: Dialect, region: Region, offering: Sequence[str], now: datetime
    ) -> Menu | Refusal:
        return self._gate().menu(key_digest, dialect=dialect, region=region, offering=offering, now=now)

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        return self._gate().standing(callers, now)

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        self._gate().settle(request_id, charge, now)

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        self._gate().finalize(charges, now)

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        return self._gate().expire(before, limit=limit, now=now)

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        self._gate().bind_object(provider, object_id, owner, now)

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        return self._gate().owner_of(provider, object_id)

    def keeps_content(self, caller: Caller) -> bool:
        return self._gate().keeps_content(caller)

    def ready(self) -> None:
        self._gate().ready()

    def _gate(self) -> Gate:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
