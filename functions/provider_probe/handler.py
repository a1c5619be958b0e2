"""provider_probe: asks a provider about a stored key, or with it about a batch, for functions that may not open one, and holds
providers' own reports against the ledger. Postgres as navplane_probe; the KEK to unwrap; HTTP to providers."""

from typing import Any
from uuid import UUID

from navplane import wiring
from navplane.config import ProbeSettings
from navplane.model.probe import Awaited
from navplane.model.usage import Endpoint

settings = ProbeSettings.from_env()
probe = wiring.provider_probe(settings)
reconciler = wiring.reconciler(settings)


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """`{"operation": "test", "org_id", "provider_key_id"}` → `{"result", "tested_at", "duration_ms"}`; a result of null says
    that there is no such key. `{"operation": "collect", "org_id", "provider_key_id", "provider", "endpoint", "object_id"}` →
    `{"state", "reading"}`. `{"operation": "reconcile"}`, each minute: one run that is due, if any. Raises for any other
    operation, and when the database or the KEK is away."""
    match event.get("operation"):
        case "test":
            return _test(event)
        case "collect":
            return _collect(event)
        case "reconcile":
            return dict(reconciler.run())
    raise ValueError("The operation must be: test, collect, or reconcile.")


def _test(event: dict[str, Any]) -> dict[str, Any]:
    probed = probe.test(org_id=UUID(event["org_id"]), provider_key_id=UUID(event["provider_key_id"]))
    if probed is None:
        return {"result": None}
    return {"result": probed.result.value, "tested_at": probed.tested_at.isoformat(), "duration_ms": probed.duration_ms}


def _collect(event: dict[str, Any]) -> dict[str, Any]:
    awaited = Awaited(
        org_id=UUID(event["org_id"]),
        provider_key_id=UUID(event["provider_key_id"]),
        provider=event["provider"],
        endpoint=Endpoint(event["endpoint"]),
        object_id=event["object_id"],
    )
    return probe.collect(awaited).to_wire()
