"""The parts of a file that an export job made, under the role that only reads."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response

from navplane.admin import change
from navplane.admin.access import Permission, require
from navplane.admin.export_jobs import NO_SUCH_JOB
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, NotFound
from navplane.model.export_job import OPEN, ExportState
from navplane.store import export_jobs

router = APIRouter(tags=["exports"])

# Whatever the file is: half a JSON document is none.
BYTES = "application/octet-stream"


@router.get(
    "/admin/orgs/{org_id}/export-jobs/{job_id}/parts/{number}",
    summary="Fetch a part of an exported file",
    responses={200: {"content": {BYTES: {}}}, **responses(404, 409)},
    response_class=Response,
    dependencies=[require(Permission.EXPORT_READ)],
)
def read_export_part(org_id: UUID, job_id: UUID, number: Annotated[int, Path(ge=1, le=100_000)], plane: ThePlane) -> Response:
    """From 1 on. Parts begin and end anywhere: only one after the other, all of them, are they the file."""
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        job = export_jobs.find(db, org_id=org_id, job_id=job_id)
        content = export_jobs.part(db, org_id=org_id, job_id=job_id, number=number)
    if job is None:
        raise NotFound(NO_SUCH_JOB)
    if job.state in OPEN:
        raise Conflict("The file is not complete yet: follow the job until it is done.")
    if job.state is ExportState.FAILED:
        raise Conflict("The job has failed, so there is no file: read it to see why.")
    if content is None:
        raise NotFound(f"The file has {job.parts} parts.")
    name = f"{job.subject}.{job.format}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=BYTES, headers=headers)
