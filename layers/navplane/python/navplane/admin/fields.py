"""The vocabulary of bodies: strict models and the texts that Postgres and people can live with."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# No control characters: they forge log lines, and Postgres has no NUL.
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PRINTABLE)]


class Body(BaseModel):
    """What somebody sends. A field we don't know is refused rather than ignored: nobody sets by accident what they may not."""

    model_config = ConfigDict(extra="forbid", strict=True)


class View(BaseModel):
    """What we show: each field named here, so that a new column is not shown by accident."""

    model_config = ConfigDict(from_attributes=True)
