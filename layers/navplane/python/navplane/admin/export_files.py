"""A table as the answer to a call: a file, streamed."""

from datetime import datetime

from fastapi.responses import StreamingResponse

from navplane.admin.file_formats import MEDIA_TYPES, as_file
from navplane.admin.table import Table
from navplane.model.export_job import ExportFormat

COMPLETE_TO, NEXT_CURSOR = "x-navplane-complete-to", "x-navplane-next-cursor"


def answered(
    table: Table, file_format: ExportFormat, *, name: str, complete_to: datetime, next_cursor: str | None = None
) -> StreamingResponse:
    """Headers say up to when it is complete, and the cursor of the next part, if there is one."""
    headers = {
        "content-disposition": f'attachment; filename="{name}.{file_format}"',
        COMPLETE_TO: complete_to.isoformat(),
        **({NEXT_CURSOR: next_cursor} if next_cursor is not None else {}),
    }
    return StreamingResponse(as_file(table, file_format), media_type=MEDIA_TYPES[file_format], headers=headers)
