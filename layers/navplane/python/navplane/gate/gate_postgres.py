"""The gate in Postgres: each method is one call of one function that the definer role owns (store/migrations: 0003_gate.sql,
0006_limits.sql, 0012_admission_by_routes.sql and what follows them).

It fails closed: whenever the database does not answer, nothing is admitted.
"""

import json
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from pg8000.exceptions import InterfaceError
from pg8000.native import Connection, PreparedStatement

from navplane.errors import DependencyUnavailable, OutcomeUnknown
from navplane.gate.gate import (
    Admission,
    Ask,
    Caller,
    Candidate,
    Charge,
    Expired,
    Menu,
    Owner,
    Refusal,
    RefusalReason,
    over_limit,
)
from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId
from navplane.model.provider_key import SealedProviderKey, SealingContext
from navplane.model.tenancy import Region, StreamUsage
from navplane.model.usage import Endpoint

# Arguments are cast by the functions' own signatures, so a prepared statement knows their types.
ADMIT = """
SELECT refused, about, caller_org_id, caller_workspace_id, caller_key_id, usage_mode, route_name, when_billed,
       coalesce(route_version, public.gate_workflow(caller_org_id, caller_workspace_id)),
       CASE WHEN refused IS NULL THEN public.gate_outlasts(caller_org_id) END,
       candidate_step, candidate_provider, candidate_model, candidate_weight,
       candidate_id, candidate_region, candidate_base_url, candidate_demo, candidate_sealed
  FROM public.gate_admit_routed(:request_id, :digest, :endpoint, :provider, :model, :region, :streamed, :lease_until, :tokens,
                                :nano_usd, :now, :input_tokens, :output_tokens, :contexts, :asked)
"""
MENU = """
SELECT refused, about, caller_org_id, caller_workspace_id, caller_key_id, provider, model
  FROM public.gate_models(:digest, :dialect, :region, :offering, :now)
"""
STANDING = "SELECT refused FROM public.gate_standing(:org_ids, :key_ids, :now) AS refused"
SETTLE = "SELECT public.gate_settle(:request_id, :tokens, :nano_usd, :now)"
FINALIZE = "SELECT public.gate_finalize(:request_ids, :tokens, :nano_usd, :now)"
EXPIRE = """
SELECT request_id, org_id, workspace_id, key_id, provider, provider_key_id, model, endpoint, region, stream, demo,
       tokens, nano_usd
  FROM public.gate_expire(:before, :limit, :now)
"""
BIND_OBJECT = "SELECT public.gate_bind_object(:provider, :object_id, :org_id, :provider_key_id, :now, :event)"
OWNER_OF = "SELECT org_id, provider_key_id, pending_event FROM public.gate_object(:provider, :object_id)"
KEEPS_CONTENT = "SELECT public.gate_keeps_content(:org_id, :workspace_id)"
READY = "SELECT public.gate_ready()"
Rows = list[list[Any]]
# What gate_admit_routed says of a request id whose reservation is no longer open.
CLOSED = "closed"
OVER_LIMIT = frozenset({RefusalReason.BUDGET_EXCEEDED.value, RefusalReason.RATE_LIMITED.value})


class Connections(Protocol):
    """The part of store.database.Database that the gate needs."""

    def connection(self) -> AbstractContextManager[Connection]: ...


class PostgresGate:
    """A Gate. The proxy's connections are those of navplane_gate, the log plane's those of navplane_writer, and each may call
    only what it needs."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        # An unprepared statement costs three round trips, a prepared one costs one.
        self._prepared: weakref.WeakKeyDictionary[Connection, dict[str, PreparedStatement]] = weakref.WeakKeyDictionary()

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        rows = self._call(ADMIT, **admit_arguments(ask, now))
        refused, about, *caller_ids = rows[0][:5]
        caller = Caller(org_id=caller_ids[0], workspace_id=caller_ids[1], key_id=caller_ids[2]) if caller_ids[0] else None
        if refused == CLOSED:
            raise DependencyUnavailable("This request id is closed; send the request again.")
        if refused in OVER_LIMIT:
            assert caller is not None
            return over_limit(about, caller, now, workflow_version=rows[0][8])
        if refused is not None:
            return Refusal(
                reason=RefusalReason(refused),
                caller=caller,
                detail=about or "",
                workflow_version=rows[0][8] if caller else None,
            )
        assert caller is not None
        mode, route, when_billed, version, outlasts = rows[0][5:10]
        return Admission(
            request_id=ask.request_id,
            caller=caller,
            stream_usage=StreamUsage(mode),
            candidates=tuple(_candidate(row[10:], caller=caller) for row in rows),
            route=route,
            workflow_version=version,
            fallback_when_billed=when_billed,
            may_outlast_gate=outlasts,
        )

    def menu(
        self, key_digest: bytes, *, dialect: Dialect, region: Region, offering: Sequence[str], now: datetime
    ) -> Menu | Refusal:
        asked = {"digest": key_digest, "dialect": dialect.value, "region": region.value, "offering": list(offering)}
        rows = self._call(MENU, **asked, now=now)
        refused, about, *ids = rows[0][:5]
        caller = Caller(org_id=ids[0], workspace_id=ids[1], key_id=ids[2]) if ids[0] else None
        if refused is not None:
            return Refusal(reason=RefusalReason(refused), caller=caller, detail=about or "")
        assert caller is not None
        named = [(row[5], row[6]) for row in rows if row[6] is not None]
        return Menu(
            caller=caller,
            aliases=tuple(model for provider, model in named if provider is None),
            models=tuple((provider, model) for provider, model in named if provider is not None),
        )

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        ids = {"org_ids": [caller.org_id for caller in callers], "key_ids": [caller.key_id for caller in callers]}
        return [RefusalReason(row[0]) if row[0] else None for row in self._call(STANDING, **ids, now=now)]

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        self._call(SETTLE, request_id=request_id, tokens=charge.tokens, nano_usd=charge.nano_usd, now=now)

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        self._call(
            FINALIZE,
            request_ids=list(charges),
            tokens=[charge.tokens for charge in charges.values()],
            nano_usd=[charge.nano_usd for charge in charges.values()],
            now=now,
        )

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        return [_expired(row) for row in self._call(EXPIRE, before=before, limit=limit, now=now)]

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        ids = {"org_id": owner.org_id, "provider_key_id": owner.provider_key_id, "event": owner.pending_event}
        self._call(BIND_OBJECT, provider=provider, object_id=object_id, **ids, now=now)

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        rows = self._call(OWNER_OF, provider=provider, object_id=object_id)
        return Owner(org_id=rows[0][0], provider_key_id=rows[0][1], pending_event=rows[0][2]) if rows else None

    def keeps_content(self, caller: Caller) -> bool:
        return bool(self._call(KEEPS_CONTENT, org_id=caller.org_id, workspace_id=caller.workspace_id)[0][0])

    def ready(self) -> None:
        self._call(READY)

    def _call(self, sql: str, **arguments: Any) -> Rows:
        """Raise OutcomeUnknown when the connection broke after the statement was sent; the pool then discards it."""
        sent = False
        try:
            with self._connections.connection() as db:
                statement = self._prepared_on(db, sql)
                sent = True
                rows: Rows = statement.run(**arguments)
        except DependencyUnavailable as exc:
            if sent and isinstance(exc.__cause__, (InterfaceError, OSError)):
                raise OutcomeUnknown("The gate went silent in the middle of a question.") from exc
            raise
        return rows

    def _prepared_on(self, db: Connection, sql: str) -> PreparedStatement:
        statements = self._prepared.setdefault(db, {})
        if sql not in statements:
            statements[sql] = db.prepare(sql)
        return statements[sql]


def admit_arguments(ask: Ask, now: datetime) -> dict[str, Any]:
    """The named parameters of ADMIT."""
    # A model's name that Postgres can't even hold is one that no provider has.
    speakable = _is_speakable(ask.model)
    return {
        "request_id": ask.request_id,
        "digest": ask.key_digest,
        "endpoint": ask.endpoint.value,
        "provider": ask.provider if speakable else None,
        "model": ask.model if speakable else None,
        "region": ask.region.value,
        "streamed": ask.stream,
        "lease_until": now + ask.lease,
        "tokens": ask.reserve.tokens,
        "nano_usd": ask.reserve.nano_usd,
        "now": now,
        "input_tokens": ask.worst.input_tokens if ask.worst else None,
        "output_tokens": ask.worst.output_tokens if ask.worst else None,
        "contexts": ask.worst.contexts if ask.worst else None,
        "asked": json.dumps(
            {
                "dialect": ask.dialect.value,
                "pinned": ask.pinned,
                # A name that can't be spoken leads nowhere.
                "offering": ask.offering if speakable else (),
                "attributes": {name: value for name, value in ask.attributes.items() if _is_speakable(value)},
                "files": ask.touches_files,
                "also_models": ask.also_models,
            }
        ),
    }


def _is_speakable(text: str | None) -> bool:
    return text is None or not ("\0" in text or any("\ud800" <= character <= "\udfff" for character in text))


def _candidate(row: Sequence[Any], *, caller: Caller) -> Candidate:
    step, provider, model, weight, key_id, region, base_url, demo, sealed = row
    context = SealingContext(org_id=caller.org_id, provider_key_id=key_id, provider=provider, region=region)
    key = SealedProviderKey(context=context, base_url=base_url, demo=demo, sealed=bytes(sealed))
    return Candidate(provider=provider, model=model, key=key, step=step, weight=weight)


def _expired(row: Sequence[Any]) -> Expired:
    return Expired(
        request_id=row[0],
        caller=Caller(org_id=row[1], workspace_id=row[2], key_id=row[3]),
        provider=row[4],
        provider_key_id=row[5],
        model=row[6],
        endpoint=Endpoint(row[7]),
        region=Region(row[8]),
        stream=row[9],
        demo=row[10],
        charge=Charge(tokens=row[11], nano_usd=row[12]),
    )
