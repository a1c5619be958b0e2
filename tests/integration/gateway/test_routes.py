"""Where a name leads: the provider gets the model that it means, and every other byte as it was sent."""

from dataclasses import replace

import pytest
from navplane.errors import BadTags
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.policy import Policy
from navplane.model.route import Condition, Route, Target
from navplane.model.usage import Outcome

from tests.integration.gateway.conftest import Application
from tests.support.gateway import sealed_key
from tests.support.provider import FakeProvider, json_answer

CHAT = "/v1/chat/completions"
ANSWER = b'{"id":"c","model":"gpt-5","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
BODY = b'{ "messages": [{"role": "user", "content": "h\xc3\xa9 \\ud83d\\ude00"}], "model" : "%s",\n "unknown": 1.50 }'


def aliased(application: Application, match: str, *targets: Target, conditions: tuple[Condition, ...] = ()) -> Route:
    made = Route(
        id=new_id(), name=f"to {match}", match=match, dialect=Dialect.OPENAI, targets=targets, conditions=conditions
    )  # fmt: skip
    application.server.gate.set_route(application.tenant.org_id, made)
    return made


@pytest.mark.parametrize("asked", [b"fast", b"openai/gpt-5"])
def test_body_goes_out_with_the_model_that_the_name_means_and_is_otherwise_untouched(
    application: Application, provider: FakeProvider, asked: bytes
) -> None:
    aliased(application, "fast", Target(provider="openai", model="gpt-5"))
    provider.script(json_answer(ANSWER))
    answer = application.post(CHAT, BODY % asked)
    assert (answer.status_code, answer.content) == (200, ANSWER)
    assert provider.last.body == BODY % b"gpt-5"
    assert provider.last.target == "/v1/chat/completions"
    row = application.row()
    assert (row.provider, row.model, row.outcome) == ("openai", asked.decode(), Outcome.OK)


def test_name_that_nothing_leads_anywhere_is_not_found_before_a_provider_is_called(
    application: Application, provider: FakeProvider
) -> None:
    called = len(provider.requests)
    answer = application.post(CHAT, BODY % b"nobody/gpt-5")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert len(provider.requests) == called


def test_conditions_look_at_tags_and_headers(application: Application, provider: FakeProvider) -> None:
    tagged = Condition(attribute="tag.env", any_of=("prod",))
    made = aliased(application, "m", Target(provider="openai", model="gpt-5"), conditions=(tagged,))
    elsewhere = replace(made, id=new_id(), name="else", targets=(Target(provider="openai", model="gpt-4"),), conditions=())
    application.server.gate.set_route(application.tenant.org_id, replace(elsewhere, position=1))
    for tags, model in ((b"team=x, env=prod", b"gpt-5"), (b"env=test", b"gpt-4")):
        provider.script(json_answer(ANSWER))
        application.post(CHAT, BODY % b"m", headers={"x-navplane-tags": tags.decode()})
        assert provider.last.body == BODY % model
        assert b"x-navplane-tags" not in provider.last.raw


def test_tags_that_can_be_misread_are_400(application: Application) -> None:
    answer = application.post(CHAT, BODY % b"gpt-5", headers={"x-navplane-tags": "no equals sign"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, BadTags.code)


def test_policy_is_asked_about_the_target(application: Application, provider: FakeProvider) -> None:
    aliased(application, "fast", Target(provider="openai", model="gpt-5"))
    application.server.gate.set_policy(application.tenant.org_id, Policy(block_models=("gpt-5",)))
    answer = application.post(CHAT, BODY % b"fast")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "gpt-5" in answer.json()["error"]["message"]


def test_path_that_names_its_provider_is_left_alone(application: Application, provider: FakeProvider) -> None:
    application.server.gate.add_provider_key(sealed_key(application.tenant.org_id, "openai"))
    provider.script(json_answer(ANSWER))
    application.post("/openai/v1/chat/completions", BODY % b"openai/gpt-5")
    assert provider.last.body == BODY % b"openai/gpt-5"
