"""Every line that our code logs while tests run, searched for the secrets that the tests hand out."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.canary import found


class CanaryWatch(logging.Handler):
    """`hits` are the lines in which a canary stands, in whatever spelling, extras and tracebacks included."""

    def __init__(self, canaries: Sequence[str]) -> None:
        super().__init__()
        self.hits: list[str] = []
        self._canaries = canaries
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        said = f"{self._formatter.format(record)} {record.__dict__}".encode()
        if any(found(canary, said) for canary in self._canaries):
            self.hits.append(f"{record.name} {record.filename}:{record.lineno}")


@contextmanager
def watched(*canaries: str) -> Iterator[CanaryWatch]:
    watch = CanaryWatch(canaries)
    logging.getLogger().addHandler(watch)
    try:
        yield watch
    finally:
        logging.getLogger().removeHandler(watch)
