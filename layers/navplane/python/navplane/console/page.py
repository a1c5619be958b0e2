"""Templates into answers. Every value is escaped, and one that a template misspells is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from starlette.responses import HTMLResponse

from navplane.console import static
from navplane.console.site import PATH

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    html = TEMPLATES.get_template(template).render(
        path=PATH,
        stylesheet=static.STYLESHEET,
        script=static.SCRIPT,
        icon=static.ICON,
        request_id=request.state.request_id,
        **values,
    )
    return HTMLResponse(html, status_code=status, headers=dict(headers or {}))
