"""Texts in a query: Postgres has no zero byte, and would answer it with an error of its own."""

from collections.abc import Iterator
from typing import Any

from navplane.admin.openapi import document

# An opaque text, which is decoded before anything is asked.
DECODED = {"cursor"}


def texts() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and parameter["name"] not in DECODED:
                    kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
                    yield from (
                        (f"{method} {path} {parameter['name']}", kind) for kind in kinds if kind.get("type") == "string"
                    )


def test_every_text_says_which_characters_it_takes() -> None:
    free = [name for name, kind in texts() if not {"pattern", "format", "enum", "const"} & set(kind)]
    assert free == []
    assert sum("pattern" in kind for _, kind in texts()) > 20
