"""Whether this process lives, and whether it can work. Nobody signs in for either, so they say little and cost little."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from navplane.admin import problem
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.readiness import State
from navplane.errors import DependencyUnavailable

router = APIRouter(tags=["health"])


class Health(View):
    status: Literal["ok"] = "ok"


class Ready(View):
    status: Literal["ready"] = "ready"
    dependencies: dict[str, State]


@router.get("/health", summary="Whether the process lives")
async def health() -> Health:
    return Health()


@router.get(
    "/ready",
    summary="Whether every dependency can be used just now",
    response_model=Ready,
    responses={503: problem.responses()[503]},
)
def ready(request: Request, plane: ThePlane) -> Ready | JSONResponse:
    """200 with the state of each dependency, or 503 with the same and `down` for at least one."""
    states = dict(plane.readiness.states())
    down = ", ".join(name for name, state in states.items() if state is State.DOWN)
    if not down:
        return Ready(dependencies=states)
    error = DependencyUnavailable(f"Not available just now: {down}.")
    return problem.response(error, request_id=request.state.request_id, dependencies=states)
