"""One process that is all of NavPlane: from an empty database to a metered call, and to an orderly end."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from navplane.model.usage import Usage
from navplane.queue import fallback
from navplane_local.issuer import Issuer

from tests.integration.serve.conftest import CONSOLE_URL, Replica, replica
from tests.support.browser_session import Browser, Page
from tests.support.demo_upstream import DemoUpstreamServer
from tests.support.log_lines import captured_log
from tests.support.usage_events import usage_event

ROWS_WITHIN_SECONDS = 30.0


@pytest.fixture(scope="module")
def running(environment: dict[str, str]) -> Iterator[Replica]:
    with replica(environment) as started:
        yield started


class Admin:
    """The admin API of one replica, as the platform admin."""

    def __init__(self, url: str, issuer: Issuer) -> None:
        headers = {"authorization": f"Bearer {issuer.mint('local|admin')}"}
        self.http = httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    def call(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def new_organization(self) -> tuple[str, str]:
        """Its id, and an API key for it; it holds an OpenAI key."""
        made = self.call("POST", "/admin/orgs", json={"name": f"Org {uuid4()}"})
        key = {"provider": "openai", "label": "main", "api_key": "sk-demo-0123456789abcdef"}
        self.call("POST", f"/admin/orgs/{made['id']}/provider-keys", json=key)
        return made["id"], made["api_key"]

    def rows(self, org_id: str, count: int) -> list[dict[str, Any]]:
        """The newest rows, once there are `count` of them: they come when the writer has run."""
        give_up_at = time.monotonic() + ROWS_WITHIN_SECONDS
        while True:
            found: list[dict[str, Any]] = self.call("GET", f"/admin/orgs/{org_id}/requests")["items"]
            if len(found) >= count:
                return found
            assert time.monotonic() < give_up_at, f"{len(found)} of {count} rows"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def admin(running: Replica, issuer: Issuer) -> Iterator[Admin]:
    client = Admin(running.url, issuer)
    yield client
    client.http.close()


def chat(url: str, key: str, *, model: str = "gpt-5", stream: bool = False) -> httpx2.Response:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
    return httpx2.post(
        f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=30
    )


def test_the_console_shows_what_the_admin_api_of_the_same_process_says(running: Replica, admin: Admin) -> None:
    org_id, _ = admin.new_organization()
    with httpx2.Client(trust_env=False, timeout=30) as client:
        browser = Browser(client, f"{running.url}/console")
        back = browser.choose(browser.ask_to_sign_in(), subject="local|admin")
        assert back.startswith(CONSOLE_URL)
        client.get(back.replace(CONSOLE_URL, browser.url))
        page = Page.of(browser.open("", organization=org_id))
    assert org_id in page.text
    assert page.facts["Subject"] == "local|admin"


def test_a_call_is_answered_and_metered_without_any_aws(running: Replica, admin: Admin) -> None:
    org_id, key = admin.new_organization()
    whole, streamed = chat(running.url, key), chat(running.url, key, stream=True)
    assert (whole.status_code, streamed.status_code) == (200, 200)
    newest, oldest = admin.rows(org_id, 2)
    usage = whole.json()["usage"]
    assert (oldest["input_tokens"], oldest["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (newest["stream"], oldest["stream"]) == (True, False)
    assert {row["usage_quality"] for row in (newest, oldest)} == {"exact"}


def test_every_dependency_is_ready(running: Replica) -> None:
    answer = httpx2.get(f"{running.url}/ready", trust_env=False)
    assert answer.status_code == 200
    assert set(answer.json()["dependencies"].values()) == {"up"}


@pytest.mark.parametrize(
    ("path", "status", "dialect"),
    [
        ("/admin/orgs", 401, "application/problem+json"),
        ("/admin/nothing", 404, "application/problem+json"),
        ("/admin/orgs/x/requests", 401, "application/problem+json"),
        ("/v1/receipts/x", 401, "application/problem+json"),
        ("/v1/nothing", 404, "application/json"),
        ("/administration", 404, "application/json"),
        ("/v1/../admin/orgs", 400, "application/json"),
    ],
)
def test_a_path_is_answered_by_its_plane(path: str, status: int, dialect: str, running: Replica) -> None:
    with httpx2.Client(trust_env=False) as client:
        request = client.build_request("GET", running.url)
        request.extensions["target"] = path.encode()
        answer = client.send(request)
    assert (answer.status_code, answer.headers["content-type"]) == (status, dialect)


def test_the_kill_switch_holds_for_the_very_next_call(running: Replica, admin: Admin, provider: DemoUpstreamServer) -> None:
    org_id, key = admin.new_organization()
    assert chat(running.url, key).status_code == 200
    before = len(provider.requests())
    admin.call("PUT", f"/admin/orgs/{org_id}/enabled", json={"enabled": False})
    assert chat(running.url, key).status_code == 403
    assert len(provider.requests()) == before
    admin.call("PUT", f"/admin/orgs/{org_id}/enabled", json={"enabled": True})
    assert chat(running.url, key).status_code == 200


def test_replicas_that_start_together_agree_and_serve(
    environment: dict[str, str], issuer: Issuer, running: Replica, admin: Admin
) -> None:
    org_id, key = admin.new_organization()
    started: list[Replica] = []
    with ExitStack() as stack:
        lock = threading.Lock()

        def start() -> None:
            replica_ = replica(environment, "--no-jobs")
            entered = replica_.__enter__()
            with lock:
                stack.push(replica_.__exit__)
                started.append(entered)

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert [chat(other.url, key).status_code for other in started] == [200, 200]
        # The first replica goes on with the passwords that the others have set again, and its writer records their calls.
        assert len(admin.rows(org_id, 2)) == 2


def test_sigterm_lets_a_stream_finish_and_keeps_its_row(
    environment: dict[str, str], issuer: Issuer, provider: DemoUpstreamServer
) -> None:
    with replica(environment) as ending:
        admin = Admin(ending.url, issuer)
        org_id, key = admin.new_organization()
        body = {"model": "demo-gated", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {key}"}
        with httpx2.stream(
            "POST", f"{ending.url}/v1/chat/completions", json=body, headers=headers, trust_env=False, timeout=60
        ) as answer:
            chunks = answer.iter_raw()
            first = next(chunks)
            ending.process.send_signal(signal.SIGTERM)
            await_refusal(ending.url)
            release(provider)
            rest = b"".join(chunks)
        assert (first + rest).rstrip().endswith(b"data: [DONE]")
        assert ending.process.wait(60) == 0
        admin.http.close()
    with replica(environment) as next_one:
        admin = Admin(next_one.url, issuer)
        [row] = admin.rows(org_id, 1)
        admin.http.close()
    assert (row["outcome"], row["usage_quality"]) == ("ok", "exact")


def await_refusal(url: str) -> None:
    """Until it takes no new connection: from then on it is ending."""
    give_up_at = time.monotonic() + ROWS_WITHIN_SECONDS
    while time.monotonic() < give_up_at:
        try:
            httpx2.get(f"{url}/health", trust_env=False)
        except httpx2.TransportError:
            return
    pytest.fail("it still takes connections")


def test_a_replayed_fallback_line_becomes_the_row_it_should_have_been(
    environment: dict[str, str], running: Replica, admin: Admin
) -> None:
    org_id, key = admin.new_organization()
    assert chat(running.url, key).status_code == 200
    [row] = admin.rows(org_id, 1)
    missed = usage_event(key_id=UUID(row["key_id"]), usage=Usage(input_tokens=3, output_tokens=4))
    with captured_log() as log:
        fallback.write(missed, reason="EndpointConnectionError")
    command = [sys.executable, "-m", "navplane_cli.main", "ledger", "replay", "--json", "-"]
    for _ in range(2):
        done = subprocess.run(command, env=environment, input=log.getvalue(), capture_output=True, text=True, timeout=60)
        assert (done.returncode, json.loads(done.stdout)) == (0, {"replayed": 1}), done.stderr
    found = {row["request_id"]: row for row in admin.rows(org_id, 2)}
    assert found[str(missed.request_id)]["total_tokens"] == 7
    assert len(found) == 2


def release(provider: DemoUpstreamServer) -> None:
    """Let the stream that is being held go on to its end."""
    held = [captured for captured in provider.requests() if captured.target == "/v1/chat/completions"][-1]
    provider.release(held.id, events=1000)
