"""The unmodified SDKs, current and previous majors, with nothing but two environment variables changed."""

from dataclasses import asdict
from typing import Any

import pytest
from navplane.model.usage import Usage

from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization
from tests.support.sdk import PYTHONS, Call, run_calls


@pytest.fixture(params=sorted(PYTHONS))
def majors(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def recorded(row: dict[str, Any]) -> dict[str, Any]:
    names = ["endpoint", "stream", "model", *asdict(Usage())]
    return {name: row[name] for name in names}


def reported(call: Call) -> dict[str, Any]:
    return {"endpoint": call.call, "stream": call.stream, "model": call.model, **asdict(call.usage)}


def assert_rows(organization: Organization, calls: list[Call]) -> None:
    rows = organization.wait_for_rows(len(calls))
    assert [recorded(row) for row in rows] == [reported(call) for call in calls]
    assert {(row["status"], row["outcome"], row["usage_quality"]) for row in rows} == {(200, "ok", "exact")}
    # The list of models is ours; everything else was the demo upstream's.
    for row in rows:
        is_ours = row["endpoint"] == "models"
        assert (row["demo"], row["provider"] is None, row["provider_request_id"] is None) == (not is_ours, is_ours, is_ours)


def test_the_openai_sdk_leaves_one_exact_row_per_call(majors: str, cloud: LocalCloud, organization: Organization) -> None:
    environment = {"OPENAI_BASE_URL": f"{cloud.base_url}/v1", "OPENAI_API_KEY": organization.api_key}
    assert_rows(organization, run_calls(majors, "openai", environment))


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_the_anthropic_sdk_leaves_one_exact_row_per_call(
    variable: str, majors: str, cloud: LocalCloud, organization: Organization
) -> None:
    environment = {"ANTHROPIC_BASE_URL": cloud.base_url, variable: organization.api_key}
    assert_rows(organization, run_calls(majors, "anthropic", environment))
