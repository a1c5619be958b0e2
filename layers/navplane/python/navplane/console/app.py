"""The console's application: its pages, and how refusals look to a person."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from navplane import __version__
from navplane.console import home, sign_in, static
from navplane.console.edge import Edge
from navplane.console.page import rendered
from navplane.console.site import Console
from navplane.errors import MethodNotAllowed, NavPlaneError, NotFound

# What Mangum hands to API Gateway as text; anything else it would encode.
TEXT_TYPES = ["text/"]


def create(console: Console) -> FastAPI:
    app = FastAPI(
        title="NavPlane: console",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.console = console
    for router in (home.router, sign_in.router, static.router):
        app.include_router(router)
    app.add_exception_handler(NavPlaneError, _of_ours)
    app.add_exception_handler(HTTPException, _of_routing)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_middleware(Edge)
    return app


async def _of_ours(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, NavPlaneError)
    request.state.error_code = exc.code
    headers = {"retry-after": str(exc.retry_after)} if exc.retry_after is not None else None
    # A 500 tells nothing of what went wrong.
    message = exc.message if exc.status != 500 else "Something went wrong on our side."
    return rendered(request, "refusal.html", status=exc.status, headers=headers, message=message)


async def _of_routing(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        return await _of_ours(request, MethodNotAllowed("This page can't be used in this way."))
    return await _of_ours(request, NotFound("There is no such page."))


async def _of_validation(request: Request, _: Exception) -> Response:
    """An address that no page of ours leads to."""
    return await _of_ours(request, NotFound("There is no such page."))
