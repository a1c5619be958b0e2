"""Tenants for PostgresGate, as the control plane would have written them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from navplane.gate.gate import Admission, Ask, Caller, Charge, Expired, Menu, Owner, Refusal, RefusalReason
from navplane.gate.gate_postgres import PostgresGate
from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId, new_id, new_request_id
from navplane.model.limit import Limit, ModelPrice
from navplane.model.policy import Policy, PolicyScope
from navplane.model.provider_key import SealedProviderKey, SealingContext
from navplane.model.route import Route
from navplane.model.tenancy import DataMode, Region, StreamUsage
from navplane.model.usage import Endpoint
from navplane.model.workflow import VersionState, Workflow, WorkflowVersion
from navplane.store import policies, routes, workflows
from navplane.store.database import Connection, Database

from tests.support.postgres import TestDatabase

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class PostgresSeed:
    """Writes as navplane_admin, in one transaction per call."""

    def __init__(self, admin: Database, *, superuser: Callable[[], AbstractContextManager[Connection]] | None = None) -> None:
        """`superuser` is needed for prices only, which no role of the control plane writes."""
        self._admin, self._superuser = admin, superuser
        self._workspaces: dict[UUID, UUID] = {}
        self._organization_of_key: dict[UUID, UUID] = {}

    def organization(self, *, region: Region = Region.US, stream_usage: StreamUsage = StreamUsage.INJECT) -> UUID:
        org_id, workspace_id = new_id(), new_id()
        self._workspaces[org_id] = workspace_id
        with self._admin.transaction(org_id=org_id) as db:
            db.run(
                "INSERT INTO public.organizations (id, name, home_region, stream_usage) VALUES (:id, 'Acme', :region, :mode)",
                id=org_id, region=region.value, mode=stream_usage.value,
            )  # fmt: skip
            db.run(
                "INSERT INTO public.workspaces (org_id, id, name, is_default, region)"
                " VALUES (:org_id, :id, 'Default', true, :region)",
                org_id=org_id, id=workspace_id, region=region.value,
            )  # fmt: skip
        return org_id

    def key(self, org_id: UUID, *, digest: bytes, expires_at: datetime | None = None, owner: UUID | None = None) -> Caller:
        caller = Caller(org_id=org_id, workspace_id=self._workspaces[org_id], key_id=new_id())
        self._organization_of_key[caller.key_id] = org_id
        with self._admin.transaction(org_id=org_id) as db:
            db.run(
                "INSERT INTO public.api_keys"
                " (org_id, id, workspace_id, name, digest, key_prefix, key_hint, expires_at, owner_user_id)"
                " VALUES (:org_id, :id, :workspace_id, 'key', :digest, 'np_', 'abcd', :expires_at, :owner)",
                org_id=org_id, id=caller.key_id, workspace_id=caller.workspace_id, digest=digest, expires_at=expires_at,
                owner=owner,
            )  # fmt: skip
        return caller

    def user(self) -> UUID:
        user_id = new_id()
        with self._admin.transaction() as db:
            db.run(
                "INSERT INTO public.user_identities (id, issuer, subject) VALUES (:id, 'https://issuer.example', :subject)",
                id=user_id, subject=str(user_id),
            )  # fmt: skip
        return user_id

    def provider_key(self, key: SealedProviderKey, *, weight: int = 1) -> None:
        where = key.context
        with self._admin.transaction(org_id=where.org_id) as db:
            db.run(
                "INSERT INTO public.provider_keys"
                " (org_id, id, provider, label, key_hint, base_url, region, demo, sealed, kek_id, weight)"
                " VALUES (:org_id, :id, :provider, :label, 'abcd', :base_url, :region, :demo, :sealed, 'test', :weight)",
                org_id=where.org_id, id=where.provider_key_id, provider=where.provider, label=str(where.provider_key_id),
                base_url=key.base_url, region=where.region, demo=key.demo, sealed=key.sealed, weight=weight,
            )  # fmt: skip

    def remove_provider_keys(self, org_id: UUID) -> None:
        self._run(org_id, "UPDATE public.provider_keys SET deleted_at = now() WHERE org_id = :org_id")

    def set_enabled(self, org_id: UUID, enabled: bool) -> None:
        self._run(org_id, "UPDATE public.organizations SET enabled = :enabled WHERE id = :org_id", enabled=enabled)

    def set_policy(self, org_id: UUID, policy: Policy, *, scope: PolicyScope, scope_id: UUID) -> None:
        with self._admin.transaction(org_id=org_id) as db:
            policies.save(db, policy, org_id=org_id, scope=scope, scope_id=scope_id, policy_id=new_id())

    def set_route(self, org_id: UUID, route: Route) -> None:
        with self._admin.transaction(org_id=org_id) as db:
            routes.delete(db, org_id=org_id, route_id=route.id)
            routes.insert(db, route, org_id=org_id, now=NOW)

    def remove_route(self, org_id: UUID, route_id: UUID) -> None:
        with self._admin.transaction(org_id=org_id) as db:
            routes.delete(db, org_id=org_id, route_id=route_id)

    def set_data_mode(self, caller: Caller, data_mode: DataMode) -> None:
        self._run(
            caller.org_id,
            "UPDATE public.workspaces SET data_mode = :mode WHERE org_id = :org_id AND id = :id",
            mode=data_mode.value, id=caller.workspace_id,
        )  # fmt: skip

    def set_cached_admission(self, org_id: UUID, chosen: bool) -> None:
        self._run(org_id, "UPDATE public.organizations SET cached_admission = :chosen WHERE id = :org_id", chosen=chosen)

    def publish_workflow(self, org_id: UUID, version: UUID, *, workspace_id: UUID | None) -> None:
        workflow = Workflow(
            id=new_id(), org_id=org_id, workspace_id=workspace_id, name="w", created_by="somebody", created_at=NOW
        )
        published = WorkflowVersion(
            id=version, org_id=org_id, workflow_id=workflow.id, workspace_id=workspace_id, number=1,
            state=VersionState.PUBLISHED, document="", sha256="", authors=(), created_by="somebody", created_at=NOW,
        )  # fmt: skip
        with self._admin.transaction(org_id=org_id) as db:
            workflows.insert(db, workflow)
            workflows.save(db, published)

    def revoke(self, key_id: UUID) -> None:
        self._run(
            self._organization_of_key[key_id], "UPDATE public.api_keys SET revoked_at = now() WHERE id = :key_id", key_id=key_id
        )

    def set_limit(self, org_id: UUID | None, limit: Limit) -> None:
        values = {
            "id": limit.id, "kind": limit.kind.value, "amount": limit.amount, "mode": limit.mode.value,
            "allow_unpriced": limit.allow_unpriced,
        }  # fmt: skip
        with self._admin.transaction(org_id=org_id) as db:
            self._remove_limit(db, org_id, limit)
            if org_id is None:
                db.run(
                    "INSERT INTO public.platform_limits (id, kind, amount, mode, allow_unpriced)"
                    " VALUES (:id, :kind, :amount, :mode, :allow_unpriced)", **values,
                )  # fmt: skip
            else:
                db.run(
                    "INSERT INTO public.limits (org_id, id, scope, scope_id, kind, amount, mode, allow_unpriced)"
                    " VALUES (:org_id, :id, :scope, :scope_id, :kind, :amount, :mode, :allow_unpriced)",
                    org_id=org_id, scope=limit.scope.value, scope_id=limit.scope_id, **values,
                )  # fmt: skip

    def remove_limit(self, org_id: UUID | None, limit: Limit) -> None:
        with self._admin.transaction(org_id=org_id) as db:
            self._remove_limit(db, org_id, limit)

    def _remove_limit(self, db: Connection, org_id: UUID | None, limit: Limit) -> None:
        if org_id is None:
            db.run("DELETE FROM public.platform_limits WHERE kind = :kind", kind=limit.kind.value)
        else:
            db.run(
                "DELETE FROM public.limits WHERE org_id = :org_id AND scope_id = :scope_id AND kind = :kind",
                org_id=org_id, scope_id=limit.scope_id, kind=limit.kind.value,
            )  # fmt: skip

    def set_price(self, provider: str, model: str, price: ModelPrice) -> None:
        assert self._superuser is not None
        with self._superuser() as db:
            db.run(
                "INSERT INTO public.model_prices (provider, position, pattern, model, input_nano_usd, output_nano_usd,"
                " request_nano_usd, context_tokens, max_output_tokens, source_version, loaded_at)"
                " SELECT :provider, count(*), '^' || :model || '$', :model, :input, :output, :request, :context, :most, 'test',"
                " now() FROM public.model_prices WHERE provider = :provider",
                provider=provider, model=model, input=price.input_nano_usd, output=price.output_nano_usd,
                request=price.request_nano_usd, context=price.context_tokens, most=price.max_output_tokens,
            )  # fmt: skip

    def delete_organization(self, org_id: UUID) -> None:
        self._run(org_id, "UPDATE public.organizations SET deleted_at = now() WHERE id = :org_id")

    def _run(self, org_id: UUID, sql: str, **arguments: object) -> None:
        given = {"org_id": org_id, **arguments} if ":org_id" in sql else arguments
        with self._admin.transaction(org_id=org_id) as db:
            db.run(sql, **given)


class Tenant:
    """An organization that may use OpenAI, and its one key."""

    def __init__(self, seed: PostgresSeed) -> None:
        self.org_id = seed.organization()
        self.digest = new_id().bytes * 2
        self.caller = seed.key(self.org_id, digest=self.digest)
        context = SealingContext(org_id=self.org_id, provider_key_id=new_id(), provider="openai", region="us")
        seed.provider_key(SealedProviderKey(context=context, base_url=None, demo=False, sealed=b"sealed"))

    def ask(self) -> Ask:
        return Ask(
            request_id=new_request_id(NOW), key_digest=self.digest, endpoint=Endpoint.RESPONSES, provider="openai",
            model="gpt-5", region=Region.US, stream=False, lease=timedelta(minutes=15),
        )  # fmt: skip


class PostgresGateOfBothPlanes:
    """One Gate out of the two that production has: the proxy's, as navplane_gate, and the log plane's, as navplane_writer."""

    def __init__(self, database: TestDatabase) -> None:
        self._proxys = PostgresGate(database.as_role("navplane_gate"))
        self._writers = PostgresGate(database.as_role("navplane_writer"))

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        return self._proxys.admit(ask, now)

    def menu(
        self, key_digest: bytes, *, dialect: Dialect, region: Region, offering: Sequence[str], now: datetime
    ) -> Menu | Refusal:
        return self._proxys.menu(key_digest, dialect=dialect, region=region, offering=offering, now=now)

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        return self._proxys.standing(callers, now)

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        self._proxys.settle(request_id, charge, now)

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        self._writers.finalize(charges, now)

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        return self._writers.expire(before, limit=limit, now=now)

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        self._proxys.bind_object(provider, object_id, owner, now)

    def keeps_content(self, caller: Caller) -> bool:
        return self._proxys.keeps_content(caller)

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        return self._proxys.owner_of(provider, object_id)

    def ready(self) -> None:
        self._proxys.ready()
        self._writers.ready()
