"""One function asks another to test a stored key: the first can seal under the KMS key, the second can open."""

from uuid import uuid4

from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization
from tests.support.provider import FakeProvider, json_answer


def test_a_stored_key_is_tested_through_the_function_that_may_open_it(cloud: LocalCloud, provider: FakeProvider) -> None:
    organization = Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token, provider_keys=False)
    provider.script(json_answer(b"{}"))
    key = organization.add_provider_key("openai", f"sk-live-{uuid4().hex}")
    assert organization.call("POST", f"provider-keys/{key['id']}/test")["result"] == "ok"
    provider.script(json_answer(b"{}", "401 Unauthorized"))
    assert organization.call("POST", f"provider-keys/{key['id']}/test")["result"] == "invalid"
