"""The admin API's application: FastAPI for the resources, and around it what holds for every answer."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from navplane import __version__
from navplane.admin import idempotency, problem
from navplane.admin.edge import Edge
from navplane.admin.export_files import COMPLETE_TO, NEXT_CURSOR
from navplane.admin.plane import Plane
from navplane.errors import NavPlaneError

# What Mangum hands to API Gateway as text; anything else it would encode.
TEXT_TYPES = ["text/", "application/json", problem.MEDIA_TYPE]


# What a page of another origin may read of an answer, and send with a call.
EXPOSED_HEADERS = ("etag", "retry-after", "x-navplane-request-id", idempotency.REPLAYED, COMPLETE_TO, NEXT_CURSOR)
SENT_HEADERS = ("authorization", "content-type", "if-match", idempotency.HEADER)


def create(*, title: str, routers: Sequence[APIRouter], plane: Plane) -> FastAPI:
    """One function's application. `routers` are the resources it serves, `plane` what they work with."""
    app = bare(title=title, routers=routers)
    app.state.plane = plane
    app.add_middleware(
        CORSMiddleware,
        allow_origins=plane.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=SENT_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
    app.add_middleware(Edge)
    return app


def bare(*, title: str, routers: Sequence[APIRouter]) -> FastAPI:
    """The application without anything to work with: enough to describe it."""
    app = FastAPI(
        title=title,
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.routers = routers
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(NavPlaneError, problem.of_ours)
    app.add_exception_handler(HTTPException, problem.of_routing)
    app.add_exception_handler(RequestValidationError, problem.of_validation)
    app.add_exception_handler(idempotency.Replay, idempotency.repeated)
    return app
