"""The database as a process finds it when it starts: what is wrong with it is said with its reason, to whoever operates it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pg8000.exceptions import DatabaseError

from navplane.errors import ConfigurationError, DependencyUnavailable


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise ConfigurationError, with the server's or the network's reason, for whatever Postgres refuses meanwhile. Callers of
    an API are never told as much: `where` and the reason name hosts, roles and databases, though no secret."""
    try:
        yield
    except (DependencyUnavailable, DatabaseError) as exc:
        raise ConfigurationError(f"{where} can't be used: {_reason(exc)}.") from exc


def _reason(exc: BaseException) -> str:
    """The server's own words, which pg8000 may bury under the broken pipe that followed them; else the network's."""
    chain = _chain(exc)
    for one in chain:
        fields = one.args[0] if isinstance(one, DatabaseError) and one.args else None
        if isinstance(fields, dict):
            return ". ".join(str(fields[name]).rstrip(".") for name in "MD" if name in fields)
    return getattr(chain[-1], "strerror", None) or str(chain[-1]).rstrip(".")


def _chain(exc: BaseException) -> list[BaseException]:
    found = [exc]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(cause)
    return found
