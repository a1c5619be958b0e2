"""Which route a request takes."""

import pytest
from navplane_local.routes import match
from navplane_local.stack import Route

ROUTES = [
    Route(api="a", method=method, path=path, function=f"{method} {path}")
    for method, path in [
        ("ANY", "/admin/{proxy+}"),
        ("GET", "/admin/orgs"),
        ("GET", "/admin/orgs/{org_id}"),
        ("PUT", "/admin/orgs/{org_id}/enabled"),
        ("ANY", "/admin/orgs/{org_id}/enabled"),
        ("GET", "/admin/orgs/mine"),
        ("GET", "/health"),
    ]
]


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("GET", "/admin/orgs", "GET /admin/orgs"),
        ("POST", "/admin/orgs", "ANY /admin/{proxy+}"),
        ("GET", "/admin/orgs/", "ANY /admin/{proxy+}"),
        ("GET", "/admin/orgs/1", "GET /admin/orgs/{org_id}"),
        ("GET", "/admin/orgs/mine", "GET /admin/orgs/mine"),
        ("GET", "/admin/orgs/1/2/3", "ANY /admin/{proxy+}"),
        ("PUT", "/admin/orgs/1/enabled", "PUT /admin/orgs/{org_id}/enabled"),
        ("GET", "/admin/orgs/1/enabled", "ANY /admin/orgs/{org_id}/enabled"),
        ("GET", "/health", "GET /health"),
    ],
)
def test_the_more_literal_route_wins(method: str, path: str, function: str) -> None:
    found = match(ROUTES, method=method, path=path)
    assert found is not None
    assert found.route.function == function


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/health"),
        ("GET", "/health/"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/admin"),
        ("GET", "/admin/"),
        ("GET", "//health"),
    ],
)
def test_other_paths_have_no_route(method: str, path: str) -> None:
    assert match(ROUTES, method=method, path=path) is None


def test_parameters_are_decoded_and_an_encoded_slash_is_no_separator() -> None:
    one = match(ROUTES, method="GET", path="/admin/orgs/a%2Fb%20c")
    assert one is not None
    assert (one.route.path, one.parameters) == ("/admin/orgs/{org_id}", {"org_id": "a/b c"})
    rest = match(ROUTES, method="DELETE", path="/admin/x/y%20z")
    assert rest is not None
    assert rest.parameters == {"proxy": "x/y z"}
