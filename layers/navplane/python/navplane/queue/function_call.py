"""Asks another Lambda and waits for its answer: for what the asking function itself has no right to do."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.errors import DependencyUnavailable
from navplane.model.probe import Awaited, Collected, Probed, ProbeResult
from navplane.queue.sqs import client

# A little longer than the function may take, and shorter than API Gateway waits.
READ_SECONDS = 25.0
# Maintenance has a minute for everything: what is not answered by then is asked again.
COLLECT_READ_SECONDS = 15.0


class FunctionProbe:
    """A Probe, by way of the function provider_probe. `name` is the function's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def test(self, *, org_id: UUID, provider_key_id: UUID) -> Probed | None:
        """Raise DependencyUnavailable when the function fails or can't be asked."""
        answer = self._ask({"operation": "test", "org_id": str(org_id), "provider_key_id": str(provider_key_id)})
        if answer["result"] is None:
            return None
        return Probed(
            result=ProbeResult(answer["result"]),
            tested_at=datetime.fromisoformat(answer["tested_at"]),
            duration_ms=answer["duration_ms"],
        )

    def collect(self, awaited: Awaited) -> Collected:
        """Raise DependencyUnavailable when the function fails, can't be asked, or speaks another release's language."""
        question = {
            "operation": "collect",
            "org_id": str(awaited.org_id),
            "provider_key_id": str(awaited.provider_key_id),
            "provider": awaited.provider,
            "endpoint": awaited.endpoint.value,
            "object_id": awaited.object_id,
        }
        try:
            return Collected.from_wire(self._ask(question, seconds=COLLECT_READ_SECONDS))
        except (KeyError, TypeError, ValueError) as exc:
            raise DependencyUnavailable("The function that asks providers answered what is not understood here.") from exc

    def _ask(self, question: dict[str, str], *, seconds: float = READ_SECONDS) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = client("lambda", read_timeout=seconds).invoke(
                FunctionName=self._name, Payload=json.dumps(question).encode()
            )
            said = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError, OSError, ValueError) as exc:
            raise DependencyUnavailable("The function that opens provider keys could not be asked. Try again.") from exc
        if "FunctionError" in answer:
            raise DependencyUnavailable("The function that opens provider keys failed; its log says why. Try again.")
        found: dict[str, Any] = said
        return found
