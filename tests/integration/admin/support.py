"""What the admin API's tests share."""

from datetime import datetime, timedelta

from navplane.crypto.api_key import digest
from navplane.gate.gate import Admission as Admitted
from navplane.gate.gate import Ask, Charge, Refusal, RefusalReason
from navplane.gate.gate_postgres import PostgresGate
from navplane.model.ids import new_request_id
from navplane.model.provider_key import SealedProviderKey
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint

from tests.support.http_script import Answer, Request


def provider_script(request: Request) -> Answer:
    """A provider that knows every key but the bad ones, and that is broken for the broken ones."""
    credential = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if credential.startswith("sk-bad-"):
        return Answer(status=401, body=f"I don't know {credential}".encode())
    if credential.startswith("sk-broken-"):
        return Answer(status=500, body=f"I fell over {credential}".encode())
    return Answer(body=b'{"data": []}')


class Admission:
    """Asks the gate as the proxy does."""

    def __init__(self, gate: PostgresGate, *, now: datetime) -> None:
        self._gate, self._now = gate, now

    def refusal(self, api_key: str, *, model: str = "gpt-5", provider: str | None = "openai") -> RefusalReason | None:
        answer = self._gate.admit(ask(api_key, self._now, model=model, provider=provider), self._now)
        return answer.reason if isinstance(answer, Refusal) else None

    def ways(self, api_key: str, model: str) -> tuple[str | None, list[tuple[str, str | None, int]]]:
        """The route's name, and each candidate's provider, model and step, for a name that the registry doesn't know."""
        answer = self._gate.admit(ask(api_key, self._now, model=model, provider=None), self._now)
        assert isinstance(answer, Admitted), answer
        return answer.route, [(each.provider, each.model, each.step) for each in answer.candidates]

    def candidates(self, api_key: str, *, provider: str = "openai") -> tuple[SealedProviderKey, ...]:
        answer = self._gate.admit(ask(api_key, self._now, provider=provider), self._now)
        assert isinstance(answer, Admitted), answer
        return tuple(candidate.key for candidate in answer.candidates)

    def shares(self, api_key: str) -> dict[str, int]:
        """The weight of each provider key, by its id."""
        answer = self._gate.admit(ask(api_key, self._now), self._now)
        assert isinstance(answer, Admitted), answer
        return {str(candidate.key.context.provider_key_id): candidate.weight for candidate in answer.candidates}


def ask(api_key: str, now: datetime, *, model: str = "gpt-5", provider: str | None = "openai") -> Ask:
    return Ask(
        request_id=new_request_id(now),
        key_digest=digest(api_key),
        endpoint=Endpoint.CHAT_COMPLETIONS,
        provider=provider,
        model=model,
        region=Region.US,
        stream=False,
        lease=timedelta(minutes=15),
        reserve=Charge(),
        offering=("openai", "azure", "openrouter"),
    )
