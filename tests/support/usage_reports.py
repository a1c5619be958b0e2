"""A provider that reports usage and cost in the documented shapes, page by page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.http_script import Answer, Request, Script

Pages = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]


def openai_tokens(model: str, *, requests: int, given: int, out: int) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result", "input_tokens": given, "output_tokens": out,
        "input_cached_tokens": 0,
        "num_model_requests": requests, "project_id": None, "user_id": None, "api_key_id": None, "model": model, "batch": None,
    }  # fmt: skip


def openai_cost(line_item: str, usd: float) -> dict[str, Any]:
    amount = {"value": usd, "currency": "usd"}
    return {"object": "organization.costs.result", "amount": amount, "line_item": line_item, "project_id": None}


def openai_day(start_time: int, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start_time, "end_time": start_time + 86400, "results": results}


def anthropic_day(day: str, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"starting_at": f"{day}T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z", "results": results}


def reporting(pages: Pages) -> Script:
    """Answers each path's pages in order; `page` names which."""

    def script(request: Request) -> Answer:
        parts = urlsplit(request.path)
        path, number = parts.path, int(parse_qs(parts.query).get("page", ["0"])[0])
        buckets, more = pages[path][number], number + 1 < len(pages[path])
        said = {"object": "page", "data": buckets, "has_more": more, "next_page": str(number + 1) if more else None}
        return Answer(headers={"content-type": "application/json"}, body=json.dumps(said).encode())

    return script


DAY_19, DAY_20 = 1795046400, 1795132800
OPENAI_PAGES: Pages = {
    "/v1/organization/usage/completions": [
        [openai_day(DAY_19, [openai_tokens("gpt-5-2025-08-07", requests=10, given=1000, out=500),
                             openai_tokens("gpt-5", requests=5, given=2000, out=200)])],
        [openai_day(DAY_20, [openai_tokens("gpt-5-2025-08-07", requests=1, given=10, out=1)])],
    ],
    "/v1/organization/usage/embeddings": [
        [openai_day(DAY_20, [{"object": "organization.usage.embeddings.result", "input_tokens": 40, "num_model_requests": 2,
                              "model": "text-embedding-3-small"}])]
    ],
    "/v1/organization/costs": [
        [openai_day(DAY_19, [openai_cost("gpt-5-2025-08-07, input", 0.25), openai_cost("gpt-5-2025-08-07, output", 0.5)])],
        [openai_day(DAY_20, [openai_cost("gpt-5-2025-08-07, input", 0.01)])],
    ],
}  # fmt: skip
ANTHROPIC_PAGES: Pages = {
    "/v1/organizations/usage_report/messages": [
        [anthropic_day("2026-11-19", [{
            "uncached_input_tokens": 1500,
            "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
            "cache_read_input_tokens": 200, "output_tokens": 500, "server_tool_use": {"web_search_requests": 10},
            "api_key_id": None, "workspace_id": None, "model": "claude-sonnet-4-20250514", "service_tier": None,
            "context_window": None,
        }])],
        [anthropic_day("2026-11-20", [])],
    ],
    "/v1/organizations/cost_report": [
        [anthropic_day("2026-11-19", [{
            "currency": "USD", "amount": "123.45", "workspace_id": None, "description": "Claude Sonnet 4 Usage - Input Tokens",
            "cost_type": "tokens", "context_window": "0-200k", "model": "claude-sonnet-4-20250514", "service_tier": "standard",
            "token_type": "uncached_input_tokens",
        }])],
    ],
}  # fmt: skip
