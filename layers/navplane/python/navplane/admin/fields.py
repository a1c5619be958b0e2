"""The vocabulary of bodies: strict models and the texts that Postgres and people can live with."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

# No control characters: they forge log lines, and Postgres has no NUL.
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PRINTABLE)]
# As RFC 3339 writes it, up to the time of day; Pydantic reads the rest, and by itself would take `0` for 1970.
WRITTEN_OUT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")


def _written_out(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and WRITTEN_OUT.match(value)):
        return value
    raise ValueError("a time looks like 2026-11-21T09:30:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), Field(strict=False)]


class Body(BaseModel):
    """What somebody sends. A field we don't know is refused rather than ignored: nobody sets by accident what they may not."""

    model_config = ConfigDict(extra="forbid", strict=True)


class View(BaseModel):
    """What we show: each field named here, so that a new column is not shown by accident."""

    model_config = ConfigDict(from_attributes=True)
