"""`navplane prices`, `navplane jobs` and `navplane ledger rebuild-rollups`, against the admin API on real HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest import price_list
from navplane.ingest.ledger_jobs import LedgerJobs
from navplane.ingest.recording import record_what_can_be
from navplane.model.usage import Usage
from navplane_cli import jobs, ledger, prices
from navplane_local.issuer import Issuer
from typer.testing import CliRunner

from tests.support.gateway import HostedApp
from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

AGREE = ["override", "--provider", "openai", "--model", "gpt-5", "--input", "2", "--output", "20"]


@pytest.fixture
def environment(app: FastAPI, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hosted = HostedApp(app)
    hosted.start()
    monkeypatch.setenv("NAVPLANE_ADMIN_URL", f"{hosted.url}/admin")
    monkeypatch.setenv("NAVPLANE_ADMIN_TOKEN", issuer.mint("local|admin"))
    yield
    hosted.stop()


def run(app: Any, *arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output + done.stderr
    return done.stdout


def refused(app: Any, *arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 1
    return done.stderr


def work(database: TestDatabase) -> None:
    writer = database.as_role("navplane_writer")
    LedgerJobs(database=writer, gate=PostgresGate(writer)).run(now=datetime.now(UTC), seconds=60)


@pytest.mark.usefixtures("environment")
def test_a_price_is_agreed_and_applied_to_what_was_recorded(
    organization: dict[str, str], module_database: TestDatabase
) -> None:
    org = organization["id"]
    with module_database.superuser() as superuser:
        [[key_id]] = superuser.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(org))
    record_what_can_be(module_database.as_role("navplane_writer"), [usage_event(key_id=key_id, usage=Usage(input_tokens=1000))])
    made = json.loads(run(prices.app, *AGREE, "--org", org, "--from", "2026-01-01T00:00:00Z", "--json"))
    assert json.loads(run(prices.app, "overrides", "--org", org, "--json")) == [made]
    assert "2 / 20 USD per million" in run(prices.app, "overrides", "--org", org)
    [started] = json.loads(run(prices.app, "reprice", "--org", org, "--from", "2026-01-01T00:00:00Z", "--json"))
    work(module_database)
    [listed] = json.loads(run(jobs.app, "list", "--org", org, "--json"))
    assert (listed["id"], listed["state"], listed["cost_change_usd"]) == (started["id"], "done", "0.000750000")
    assert "reprice  done  100%  1 of 1 requests, 0.000750000 USD" in run(jobs.app, "list", "--org", org)
    assert run(jobs.app, "watch", "--org", org) == ""


@pytest.mark.usefixtures("environment")
def test_sums_are_rebuilt_for_every_organization(organization: dict[str, str], module_database: TestDatabase) -> None:
    started = json.loads(run(ledger.app, "rebuild-rollups", "--all", "--from", "2026-11-01T00:00:00Z", "--json"))
    assert organization["id"] in {job["org_id"] for job in started}
    work(module_database)
    done = json.loads(run(jobs.app, "list", "--all", "--json"))
    assert {job["state"] for job in done if job["kind"] == "rebuild_rollups"} == {"done"}


@pytest.mark.usefixtures("environment")
def test_the_list_of_this_release_is_compared_with_the_one_that_is_deployed(module_database: TestDatabase) -> None:
    with module_database.as_role("navplane_writer").transaction() as db:
        price_list.load(db, now=datetime.now(UTC))
    assert json.loads(run(prices.app, "diff", "--json"))["changes"] == []
    with module_database.superuser() as superuser:
        superuser.run("UPDATE model_prices SET input_nano_usd = 1 WHERE provider = 'openai' AND model = 'gpt-5'")
        [[renamed]] = superuser.run("SELECT min(model) FROM model_prices WHERE provider = 'xai'")
        superuser.run("UPDATE model_prices SET model = 'gone' WHERE provider = 'xai' AND model = :name", name=renamed)
    changes = {(c["change"], c["provider"], c["model"]): c for c in json.loads(run(prices.app, "diff", "--json"))["changes"]}
    assert {("changed", "openai", "gpt-5"), ("gone", "xai", "gone"), ("new", "xai", renamed)} == changes.keys()
    assert changes["changed", "openai", "gpt-5"]["before"].startswith("0.001 / ")


@pytest.mark.usefixtures("environment")
def test_what_is_refused_is_said_in_the_problems_own_words(organization: dict[str, str]) -> None:
    org = organization["id"]
    run(prices.app, *AGREE, "--org", org, "--from", "2026-01-01T00:00:00Z")
    assert "end that one first" in refused(prices.app, *AGREE, "--org", org, "--from", "2026-02-01T00:00:00Z")
    assert "--org ID" in refused(prices.app, "reprice", "--from", "2026-01-01T00:00:00Z")
    assert "--org ID" in refused(jobs.app, "list", "--org", org, "--all")


def test_without_a_url_and_a_token_it_says_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAVPLANE_ADMIN_URL", raising=False)
    assert "NAVPLANE_ADMIN_URL" in refused(prices.app, "diff")


def test_an_api_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAVPLANE_ADMIN_URL", "http://127.0.0.1:1/admin")
    monkeypatch.setenv("NAVPLANE_ADMIN_TOKEN", "a-token")
    told = refused(prices.app, "diff")
    assert "can't be reached" in told
    assert "a-token" not in told
