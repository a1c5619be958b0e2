"""The stylesheet, the icon and htmx, under names that change with their content, so that a browser may keep them for good."""

import hashlib
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from navplane.errors import NotFound

FOLDER = Path(__file__).with_name("static")
FOR_GOOD = "public, max-age=31536000, immutable"
router = APIRouter()


def _named(file: str) -> str:
    """`console.css` → `console.0f343b09.css`."""
    stem, _, suffix = file.rpartition(".")
    return f"{stem}.{hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()[:8]}.{suffix}"


HTMX = "htmx-2.0.11.min.js"
STYLESHEET, SCRIPT, ICON = _named("console.css"), _named(HTMX), _named("icon.svg")
FILES = {
    STYLESHEET: (FOLDER / "console.css", "text/css; charset=utf-8"),
    SCRIPT: (FOLDER / HTMX, "text/javascript; charset=utf-8"),
    ICON: (FOLDER / "icon.svg", "image/svg+xml"),
}


@router.get("/console/static/{name}")
def static_file(name: str) -> Response:
    if name not in FILES:
        raise NotFound("There is no such page.")
    path, media_type = FILES[name]
    return Response(path.read_bytes(), media_type=media_type, headers={"cache-control": FOR_GOOD})
