"""Providers' own reports of usage and cost, read with a read-only admin key: pages of one bucket per UTC day.

OpenAI: https://platform.openai.com/docs/api-reference/usage · Anthropic: https://platform.claude.com/docs/en/api/admin/usage_report
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx2

from navplane.errors import DependencyUnavailable, ProviderKeyInvalid
from navplane.model.provider_key import Secret
from navplane.model.reconciliation import Figures, Report, gathered
from navplane.upstream.provider import Origin

TIMEOUT_SECONDS = 10.0
# More than days times models need: a provider that always has one more page is none.
MOST_PAGES = 50
MOST_BYTES = 4 * 1024 * 1024
ANTHROPIC_VERSION = "2023-06-01"
OPENAI_USAGE = ("/v1/organization/usage/completions", "/v1/organization/usage/embeddings")
REPORTING = ("openai", "anthropic")
Found = list[tuple[date, str, Figures]]
Object = Mapping[str, Any]


class UsageReports:
    """`origins` maps a provider's name to where it is asked; a provider may have no address in the stack's region."""

    def __init__(self, origins: Mapping[str, Origin]) -> None:
        self._origins = origins

    def read(self, provider: str, key: Secret, *, first: date, days: int) -> Report:
        """Raise ProviderKeyInvalid when the provider refuses the key, DependencyUnavailable for all else that goes wrong. What
        the provider said is shown to nobody: it may echo the key."""
        read = {"openai": _openai, "anthropic": _anthropic}[provider]
        origin = self._origins.get(provider)
        if origin is None:
            raise DependencyUnavailable(f"{provider} has no address in this region, so it was not asked.")
        try:
            with _client(origin, provider, key) as client:
                return gathered(read(client, first, days))
        except (httpx2.HTTPError, OSError) as exc:
            raise DependencyUnavailable(f"{provider} could not be asked for its usage report.") from exc
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as exc:
            raise DependencyUnavailable(f"{provider}'s usage report has another shape than documented.") from exc


def _openai(client: httpx2.Client, first: date, days: int) -> Found:
    start = {"start_time": _unix(first), "end_time": _unix(first + timedelta(days=days)), "bucket_width": "1d", "limit": days}
    found: Found = []
    for path in OPENAI_USAGE:
        for bucket in _buckets(client, path, {**start, "group_by": ["model"]}):
            day = datetime.fromtimestamp(bucket["start_time"], UTC).date()
            found += [(day, str(one["model"]), _openai_tokens(one)) for one in bucket["results"]]
    for bucket in _buckets(client, "/v1/organization/costs", {**start, "group_by": ["line_item"]}):
        day = datetime.fromtimestamp(bucket["start_time"], UTC).date()
        found += [(day, _of_line(one), Figures(usd=Decimal(str(one["amount"]["value"])))) for one in bucket["results"]]
    return found


def _openai_tokens(one: Object) -> Figures:
    return Figures(
        requests=int(one["num_model_requests"]),
        input_tokens=int(one["input_tokens"]),
        output_tokens=int(one.get("output_tokens") or 0),
    )


def _of_line(one: Object) -> str:
    """A line item is a model and what of it, such as `gpt-5-2025-08-07, input`."""
    return str(one.get("line_item") or "other").partition(",")[0].strip()


def _anthropic(client: httpx2.Client, first: date, days: int) -> Found:
    end = first + timedelta(days=days)
    span = {"starting_at": f"{first}T00:00:00Z", "ending_at": f"{end}T00:00:00Z", "bucket_width": "1d", "limit": days}
    found: Found = []
    for bucket in _buckets(client, "/v1/organizations/usage_report/messages", {**span, "group_by[]": ["model"]}):
        found += [(_day(bucket), str(one["model"]), _anthropic_tokens(one)) for one in bucket["results"]]
    for bucket in _buckets(client, "/v1/organizations/cost_report", {**span, "group_by[]": ["description"]}):
        # Cents, as a decimal string.
        found += [
            (_day(bucket), str(one.get("model") or "other"), Figures(requests=None, usd=Decimal(one["amount"]) / 100))
            for one in bucket["results"]
        ]
    return found


def _anthropic_tokens(one: Object) -> Figures:
    written = one.get("cache_creation") or {}
    cached = int(one.get("cache_read_input_tokens") or 0) + sum(int(count or 0) for count in written.values())
    return Figures(
        requests=None, input_tokens=int(one["uncached_input_tokens"]) + cached, output_tokens=int(one["output_tokens"])
    )


def _buckets(client: httpx2.Client, path: str, query: Mapping[str, Any]) -> Iterator[Object]:
    page: str | None = None
    for _ in range(MOST_PAGES):
        said = _asked(client, path, {**query, "page": page} if page else query)
        yield from said["data"]
        page = said.get("next_page")
        if not said.get("has_more") or not page:
            return
    raise ValueError("there is always one more page")


def _asked(client: httpx2.Client, path: str, query: Mapping[str, Any]) -> Object:
    with client.stream("GET", path, params=query) as answer:
        if answer.status_code in (401, 403):
            raise ProviderKeyInvalid("The provider refuses the admin key, or it may not read usage.")
        if answer.status_code != 200:
            raise DependencyUnavailable(f"The provider answered with status {answer.status_code}.")
        body = b""
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise ValueError("a page beyond all measure")
    said: Object = json.loads(body, parse_float=Decimal)
    return said


def _client(origin: Origin, provider: str, key: Secret) -> httpx2.Client:
    headers = {"authorization": f"Bearer {key.reveal().decode()}"}
    if provider == "anthropic":
        headers = {"x-api-key": key.reveal().decode(), "anthropic-version": ANTHROPIC_VERSION}
    base = httpx2.URL(scheme=origin.scheme, host=origin.host, port=origin.port)
    return httpx2.Client(base_url=base, headers=headers, follow_redirects=False, trust_env=False, timeout=TIMEOUT_SECONDS)


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _day(bucket: Object) -> date:
    return datetime.fromisoformat(str(bucket["starting_at"])).date()
