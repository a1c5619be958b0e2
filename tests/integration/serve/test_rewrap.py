"""The KEK is rotated while NavPlane serves: no call notices, and afterwards the old key is needed by nobody."""

import base64
import json
import os
import subprocess
import sys
import threading

import pytest
from navplane_local.issuer import Issuer

from tests.integration.serve.conftest import replica
from tests.integration.serve.test_serve import Admin, chat


def navplane(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "navplane_cli.main", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def rotating(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "ENCRYPTION_KEY_NEW": base64.b64encode(os.urandom(32)).decode()}


def test_a_live_proxy_goes_on_serving_while_its_keys_are_rewrapped(
    environment: dict[str, str], rotating: dict[str, str], issuer: Issuer
) -> None:
    statuses: list[int] = []
    enough, stop = threading.Event(), threading.Event()

    def caller(url: str, key: str) -> None:
        while not stop.is_set():
            statuses.append(chat(url, key).status_code)
            if len(statuses) > 20:
                enough.set()

    with replica(rotating) as running:
        admin = Admin(running.url, issuer)
        (_, key), *_ = [admin.new_organization() for _ in range(10)]
        thread = threading.Thread(target=caller, args=(running.url, key))
        thread.start()
        try:
            code, told, _ = navplane(rotating, "keys", "rewrap", "--json")
            # Stored in the middle of it and after it: under the new KEK, though the old one is still the first of the two.
            later_org, later_key = admin.new_organization()
            assert enough.wait(60)
        finally:
            stop.set()
            thread.join(60)
        progress = json.loads(told)
        assert (code, progress["finished"], progress["remaining"], progress["unreadable"]) == (0, True, 0, 0)
        assert progress["rewrapped"] >= 10
        assert set(statuses) == {200}
        assert chat(running.url, later_key).status_code == 200
        admin.http.close()

    _, shown, _ = navplane(rotating, "keys", "status", "--json")
    assert list(json.loads(shown)["sealed"]) == [progress["new_kek_id"]]
    new_only = {**environment, "ENCRYPTION_KEY": rotating["ENCRYPTION_KEY_NEW"]}
    with replica(new_only) as running:
        assert [chat(running.url, one).status_code for one in (key, later_key)] == [200, 200]
        admin = Admin(running.url, issuer)
        listed = admin.call("GET", f"/admin/orgs/{later_org}/provider-keys")["items"]
        assert len(listed) == 1
        admin.http.close()


def test_a_rotation_without_a_new_key_or_to_the_same_one_says_what_to_do(environment: dict[str, str]) -> None:
    code, _, told = navplane(environment, "keys", "rewrap")
    assert (code, "set ENCRYPTION_KEY_NEW" in told) == (1, True)
    same = {**environment, "ENCRYPTION_KEY_NEW": environment["ENCRYPTION_KEY"]}
    code, _, told = navplane(same, "keys", "rewrap")
    assert (code, "the old one" in told) == (1, True)
    both = {**environment, "ENCRYPTION_KEY_NEW": environment["ENCRYPTION_KEY"], "KMS_KEY_ID_NEW": "x"}
    code, _, told = navplane(both, "keys", "rewrap")
    assert (code, "one new KEK" in told) == (1, True)
