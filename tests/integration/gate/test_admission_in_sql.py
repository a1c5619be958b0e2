"""The decisions that Python and SQL both make, on whatever comes: policies and routes."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from navplane.model.dialect import Dialect
from navplane.model.policy import Policy, forbidden
from navplane.model.route import Condition, Question, Route, Target, resolve
from navplane.store import routes as stored
from pg8000.native import Connection

from tests.support.gate_seed_postgres import NOW, PostgresSeed
from tests.support.postgres import TestDatabase

PROVIDERS = ("openai", "groq", "azure")
NAMES = ("gpt-5", "gpt-5-mini", "o3", "groq/llama", "azure/gpt-5", "null", "a/b", "groq/")
GLOBS = st.sampled_from([*NAMES, "*", "gpt-*", "*mini", "groq/*", "?", ""])
SOME_GLOBS = st.lists(GLOBS, max_size=3).map(tuple)
SOME_PROVIDERS = st.frozensets(st.sampled_from(PROVIDERS), max_size=2)
POLICIES = st.builds(
    Policy,
    enabled_providers=SOME_PROVIDERS,
    disabled_providers=SOME_PROVIDERS,
    allow_models=SOME_GLOBS,
    block_models=SOME_GLOBS,
)
TARGETS = st.builds(
    Target,
    provider=st.sampled_from(PROVIDERS),
    model=st.none() | st.sampled_from(NAMES),
    step=st.integers(0, 2),
    weight=st.integers(1, 9),
)
TAGS = st.sampled_from(["tag.env", "tag.team", "header.user-agent"])
VALUES = st.sampled_from(["prod", "production", "null", "", "é*"])
CONDITIONS = st.builds(
    Condition, attribute=TAGS, any_of=st.lists(VALUES | st.sampled_from(["*", "prod*"]), min_size=1, max_size=2).map(tuple)
)
# The ids decide between equal positions; they are dealt out in the order of the list.
ROUTES = st.lists(
    st.builds(
        Route,
        id=st.just(UUID(int=0)),
        name=st.just(""),
        match=GLOBS.filter(bool),
        dialect=st.sampled_from(Dialect),
        targets=st.lists(TARGETS, min_size=1, max_size=3).map(tuple),
        conditions=st.lists(CONDITIONS, max_size=2).map(tuple),
        position=st.integers(0, 2),
        fallback_when_billed=st.booleans(),
    ),
    max_size=4,
)
QUESTIONS = st.builds(
    Question,
    model=st.none() | st.sampled_from(NAMES),
    dialect=st.sampled_from(Dialect),
    provider=st.none() | st.sampled_from(PROVIDERS),
    pinned=st.booleans(),
    offering=st.lists(st.sampled_from(PROVIDERS), unique=True).map(tuple),
    attributes=st.dictionaries(TAGS, VALUES, max_size=2),
)
EXAMPLES = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

FORBIDDEN = """
SELECT public.gate_forbidden(
    ARRAY(SELECT ROW(NULL, NULL, NULL, NULL, ARRAY(SELECT jsonb_array_elements_text(level -> 0)),
                     ARRAY(SELECT jsonb_array_elements_text(level -> 1)), ARRAY(SELECT jsonb_array_elements_text(level -> 2)),
                     ARRAY(SELECT jsonb_array_elements_text(level -> 3)), NULL, NULL, NULL, NULL)::public.policies
            FROM jsonb_array_elements(:levels::jsonb) WITH ORDINALITY AS given (level, place) ORDER BY place),
    :provider, :model)
"""
ROUTED = """
SELECT r.route, r.when_billed, t.step, t.provider, t.model, t.weight
  FROM public.gate_route(:org_id, :workspace_id, :provider, :model, :asked::jsonb) AS r
  LEFT JOIN unnest(r.targets) AS t ON true
"""


@pytest.fixture(scope="module")
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture(scope="module")
def tenant(module_database: TestDatabase) -> tuple[UUID, UUID]:
    """An organization, and its workspace."""
    seed = PostgresSeed(module_database.as_role("navplane_admin"))
    org_id = seed.organization()
    return org_id, seed.key(org_id, digest=org_id.bytes * 2).workspace_id


@EXAMPLES
@given(
    levels=st.lists(POLICIES, max_size=3), provider=st.sampled_from(PROVIDERS), model=st.none() | st.sampled_from([*NAMES, ""])
)
def test_policies_decide_the_same_in_sql_and_in_python(
    superuser: Connection, levels: list[Policy], provider: str, model: str | None
) -> None:
    lists = [
        [sorted(level.enabled_providers), sorted(level.disabled_providers), level.allow_models, level.block_models]
        for level in levels
    ]
    in_sql = superuser.run(FORBIDDEN, levels=json.dumps(lists), provider=provider, model=model)[0][0]
    assert in_sql == forbidden(levels, provider=provider, model=model)


@EXAMPLES
@given(drawn=ROUTES, question=QUESTIONS, own=st.lists(st.booleans(), min_size=4, max_size=4))
def test_routes_lead_to_the_same_in_sql_and_in_python(
    superuser: Connection, tenant: tuple[UUID, UUID], drawn: list[Route], question: Question, own: list[bool]
) -> None:
    org_id, workspace_id = tenant
    routes = [named(route, place, workspace_id if own[place] else None) for place, route in enumerate(drawn)]
    superuser.run("DELETE FROM public.routes WHERE org_id = :org_id", org_id=org_id)
    for route in routes:
        stored.insert(superuser, route, org_id=org_id, now=NOW)
    assert sorted(stored.every(superuser, org_id=org_id), key=lambda route: route.id) == routes
    expected = resolve(question, routes)
    rows = asked_of(superuser, org_id, workspace_id, question)
    taken = expected.route
    assert rows[0][:2] == [taken.name if taken else None, taken.fallback_when_billed if taken else False]
    found = [tuple(row[2:]) for row in rows if row[2] is not None]
    assert found == [(target.step, target.provider, target.model, target.weight) for target in expected.targets]


def named(route: Route, place: int, workspace_id: UUID | None) -> Route:
    return Route(
        id=UUID(int=place),
        name=f"route {place}",
        match=route.match,
        dialect=route.dialect,
        targets=route.targets,
        conditions=route.conditions,
        workspace_id=workspace_id,
        position=route.position,
        fallback_when_billed=route.fallback_when_billed,
    )


def asked_of(superuser: Connection, org_id: UUID, workspace_id: UUID, question: Question) -> list[list[Any]]:
    asked = {
        "dialect": question.dialect.value,
        "pinned": question.pinned,
        "offering": question.offering,
        "attributes": dict(question.attributes),
    }
    rows: list[list[Any]] = superuser.run(
        ROUTED,
        org_id=org_id,
        workspace_id=workspace_id,
        provider=question.provider,
        model=question.model,
        asked=json.dumps(asked),
    )
    return rows
