"""Alive and ready: what each says, and how often the dependencies are asked."""

from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import Plane
from navplane.admin.readiness import Readiness
from navplane.errors import DependencyUnavailable


def with_readiness(plane: Plane, readiness: Readiness) -> TestClient:
    other = Plane(
        database=plane.database, access=plane.access, region=plane.region, key_prefixes=plane.key_prefixes, readiness=readiness
    )
    return TestClient(create(title="test", routers=ROUTERS, plane=other))


def down() -> None:
    raise DependencyUnavailable("the queue is at sqs.internal, and away")


def up() -> None:
    pass


def test_a_process_that_answers_is_alive(anonymous: TestClient) -> None:
    answer = anonymous.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_names_every_dependency(anonymous: TestClient) -> None:
    answer = anonymous.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "dependencies": {"database": "up", "kek": "up"}}


def test_one_dependency_down_is_503_and_says_which_but_not_why(plane: Plane) -> None:
    answer = with_readiness(plane, Readiness({"database": up, "queue": down})).get("/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["dependencies"] == {"database": "up", "queue": "down"}
    assert "internal" not in answer.text


def test_a_flood_of_questions_asks_the_dependencies_once_a_second(plane: Plane) -> None:
    asked: list[int] = []
    now = [0.0]
    client = with_readiness(plane, Readiness({"kek": lambda: asked.append(1)}, clock=lambda: now[0]))
    for now[0] in (0.0, 0.5, 0.9, 1.0, 1.5):
        assert client.get("/ready").status_code == 200
    assert len(asked) == 2
