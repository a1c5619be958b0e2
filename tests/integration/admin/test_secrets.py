"""A canary: one provider key and one API key, and every place in which they must not be found, in any spelling."""

import base64
import json
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.store.database import Connection

from tests.support.canary import found, spellings
from tests.support.http_script import ScriptedServer
from tests.support.log_lines import captured_log
from tests.support.postgres import TestDatabase


def everything_stored(db: Connection) -> bytes:
    tables = db.run("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'")
    rows = [db.run(f"SELECT t::text FROM {table[0]} t") for table in tables]
    text = json.dumps(rows).encode()
    # bytea is shown as hexadecimal: what it holds is looked through as well.
    sealed = [bytes(row[0]) for row in db.run("SELECT sealed FROM provider_keys")]
    return text + b"".join(sealed)


@pytest.mark.parametrize("alphabet", ["abc+/=%&\"'<>\\", "plain"])
def test_neither_key_is_found_in_the_database_the_answers_or_the_logs(
    api: TestClient, provider: ScriptedServer, module_database: TestDatabase, alphabet: str
) -> None:
    canary = f"sk-live-{alphabet}-{uuid4()}-canary"
    answers = []
    with captured_log() as log:
        created = api.post("/admin/orgs", json={"name": "Canary"}).json()
        path = f"/admin/orgs/{created['id']}"
        new_key = {"provider": "openai", "label": "canary", "api_key": canary}
        stored = api.post(f"{path}/provider-keys", json=new_key)
        assert stored.status_code == 201
        answers += [stored, api.post(f"{path}/provider-keys", json=new_key), api.get(f"{path}/provider-keys")]
        answers += [api.post(f"{path}/provider-keys", json={**new_key, "label": ["x"]})]
        answers += [api.post(f"{path}/provider-keys", json={**new_key, "extra": canary})]
        answers += [api.post(f"{path}/provider-keys", json={**new_key, "provider": canary})]
        answers += [
            api.post(f"{path}/provider-keys", content=json.dumps(new_key)[:-1], headers={"content-type": "application/json"})
        ]
        answers += [
            api.get(path),
            api.put(path, json={"name": "Canary 2"}),
            api.get("/admin/orgs"),
            api.get(f"{path}/requests"),
        ]
        answers += [api.put(f"{path}/enabled", json={"enabled": False}), api.get(f"{path}/provider-settings")]
        with module_database.superuser() as db:
            dump = everything_stored(db)
        rotated = api.post(f"{path}/rotate-key").json()["api_key"]
        answers += [api.delete(f"{path}/provider-keys/{stored.json()['id']}"), api.delete(path)]
        with module_database.superuser() as db:
            dump += everything_stored(db)
    assert canary in provider.requests[0].headers["authorization"], "the canary must have been at work"
    assert stored.json()["id"].encode() in dump, "the dump must show the row"
    shown = b"".join(answer.content + json.dumps(dict(answer.headers)).encode() for answer in answers)
    for secret in (canary, created["api_key"], rotated):
        for where, haystack in {"database": dump, "answers": shown, "logs": log.getvalue().encode()}.items():
            assert found(secret, haystack) == [], where


@pytest.mark.parametrize("spelling", range(11))
def test_the_search_finds_a_key_in_each_of_its_spellings(spelling: int) -> None:
    secret = f"sk-live-{uuid4()}-canary"
    spelled = list(spellings(secret))
    assert len(spelled) == 11
    assert found(secret, b"before " + spelled[spelling] + b" after")


@pytest.mark.parametrize("lead", [b"", b"x", b"xy"])
def test_the_search_finds_a_key_inside_something_encoded(lead: bytes) -> None:
    secret = f"sk-live-{uuid4()}-canary"
    assert found(secret, base64.b64encode(b'{"k": "' + lead + secret.encode() + b'"}'))
