"""A table as the answer to a call: a file, streamed."""

from fastapi.responses import StreamingResponse

from navplane.admin.file_formats import MEDIA_TYPES, as_file
from navplane.admin.table import Table
from navplane.model.export_job import ExportFormat


def answered(table: Table, file_format: ExportFormat, *, name: str, next_cursor: str | None = None) -> StreamingResponse:
    """The cursor of the next part, if there is one, is in a header."""
    headers = {"content-disposition": f'attachment; filename="{name}.{file_format}"'}
    if next_cursor is not None:
        headers["x-navplane-next-cursor"] = next_cursor
    return StreamingResponse(as_file(table, file_format), media_type=MEDIA_TYPES[file_format], headers=headers)
