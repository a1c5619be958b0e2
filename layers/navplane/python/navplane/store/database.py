"""A small explicit pool of pg8000 connections, and transactions that carry the organization into row-level security.

Everything that is wrong with the connection, and not with the statement, rises as DependencyUnavailable.
"""

import queue
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from pg8000.exceptions import DatabaseError, Error, InterfaceError
from pg8000.native import Connection

from navplane.errors import DependencyUnavailable, KekRetired, NavPlaneError, OutcomeUnknown

__all__ = ["Connection", "Database", "connector", "sqlstate"]

# The statement is cancelled by the server first; the socket gives up a little later, when the server is silent.
SOCKET_PATIENCE = 1.25
# By the wall clock, because a frozen environment's other clocks stand still while the server and the network go on.
MAX_AGE_SECONDS = 900.0
MAX_IDLE_SECONDS = 60.0
# What passes by itself or on another connection: cancelled by a timeout, a lock not had in time, a deadlock, a server that
# shuts down, fails over or has no room, and a prepared statement that a migration has outdated.
PASSING_STATES = frozenset(
    {"57014", "55P03", "40001", "40P01", "57P01", "57P02", "57P03", "57P05", "25006", "53300", "53400", "0A000", "26000"}
)
# What the fence of 0040_kek_rotation.sql says.
KEK_RETIRED = "NP002"
IDLE = b"I"


def connector(
    *,
    host: str,
    port: int,
    name: str,
    user: str,
    password: Callable[[], str],
    tls: bool,
    tls_ca_file: str | None,
    timeout_seconds: float = 5.0,
) -> Callable[[], Connection]:
    """Return a function that connects. A `host` that begins with `/` is the directory of a unix socket; `password` is asked
    every time. `timeout_seconds` bounds each statement."""
    where = {"unix_sock": f"{host}/.s.PGSQL.{port}"} if host.startswith("/") else {"host": host, "port": port}
    context = ssl.create_default_context(cafile=tls_ca_file) if tls else False
    startup = {"statement_timeout": str(int(timeout_seconds * 1000)), "TimeZone": "UTC"}

    def connect() -> Connection:
        try:
            return Connection(
                user, database=name, password=password(), ssl_context=context, application_name="navplane",
                timeout=timeout_seconds * SOCKET_PATIENCE, startup_params=startup, **where,
            )  # fmt: skip
        # pg8000 hides why the server said no when it hangs up at once; a wrong password is our fault, not the caller's.
        except (Error, OSError) as exc:
            raise DependencyUnavailable("The database can't be reached just now.") from exc

    return connect


def sqlstate(exc: BaseException) -> str:
    """The five characters that name what the server refused; empty if it was not the server."""
    fields = exc.args[0] if isinstance(exc, DatabaseError) and exc.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


def is_network_failure(exc: BaseException | None) -> bool:
    """pg8000 has one class for a lost connection and for a misuse of itself; only the message tells them apart."""
    lost = ("network error", "communication error", "connection is closed")
    return isinstance(exc, OSError) or (isinstance(exc, InterfaceError) and str(exc) in lost)


@dataclass(slots=True)
class _Slot:
    connection: Connection
    opened_at: float
    used_at: float


class Database:
    """At most `size` connections, opened when first needed. Thread-safe.

    Plain SQL errors (pg8000's DatabaseError) reach the caller, who may translate them; errors that pass by themselves rise
    as DependencyUnavailable, as does a pool that stays empty for `wait_seconds`.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        size: int,
        wait_seconds: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._permits = threading.BoundedSemaphore(size)
        # Last in, first out: what was used a moment ago is the least likely to have been closed meanwhile.
        self._idle: queue.LifoQueue[_Slot] = queue.LifoQueue()
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Borrow a connection; every statement commits by itself."""
        if not self._permits.acquire(timeout=self._wait_seconds):
            raise DependencyUnavailable("All database connections are busy.")
        try:
            slot = self._take()
            with self._lend(slot):
                yield slot.connection
        finally:
            self._permits.release()

    @contextmanager
    def transaction(self, *, org_id: UUID | None = None, platform: bool = False) -> Iterator[Connection]:
        """BEGIN … COMMIT, or ROLLBACK if the body raises. `org_id` is whose rows may be seen and written; `platform` reads
        across organizations and writes nothing."""
        begin = "BEGIN"
        if org_id is not None:
            # Set for this transaction only: nothing is left over for whoever borrows the connection next.
            begin += f"; SELECT set_config('app.org_id', '{UUID(int=org_id.int)}', true)"
        if platform:
            begin += "; SET LOCAL ROLE navplane_platform_reader"
        with self.connection() as connection:
            connection.execute_simple(begin)
            try:
                yield connection
            except BaseException:
                with suppress(Error, OSError):
                    connection.execute_simple("ROLLBACK")
                raise
            _commit(connection)

    def close(self) -> None:
        """Close what is idle; what is borrowed is closed when it comes back."""
        self._closed = True
        with suppress(queue.Empty):
            while True:
                _close(self._idle.get_nowait().connection)

    def _take(self) -> _Slot:
        with suppress(queue.Empty):
            while True:
                slot = self._idle.get_nowait()
                if self._is_fresh(slot):
                    return slot
                _close(slot.connection)
        now = self._clock()
        return _Slot(self._connect(), opened_at=now, used_at=now)

    def _is_fresh(self, slot: _Slot) -> bool:
        now = self._clock()
        in_time = now - slot.opened_at < MAX_AGE_SECONDS and now - slot.used_at < MAX_IDLE_SECONDS
        return in_time and _is_quiet(slot.connection)

    @contextmanager
    def _lend(self, slot: _Slot) -> Iterator[None]:
        healthy = False
        try:
            yield
            healthy = True
        except DatabaseError as exc:
            state = sqlstate(exc)
            healthy = state not in PASSING_STATES and not state.startswith("08")
            if not healthy:
                raise DependencyUnavailable("The database did not answer in time.") from exc
            if state == KEK_RETIRED:
                raise KekRetired from exc
            raise
        except (InterfaceError, OSError) as exc:
            if not is_network_failure(exc):
                raise
            raise DependencyUnavailable("The connection to the database was lost.") from exc
        except NavPlaneError as exc:
            healthy = not isinstance(exc, DependencyUnavailable)
            raise
        except Exception:
            # The body's own failure: whether the connection is in order, its transaction status tells.
            healthy = True
            raise
        finally:
            self._give_back(slot, healthy=healthy)

    def _give_back(self, slot: _Slot, *, healthy: bool) -> None:
        # pg8000 knows no status before the first statement; anything else but idle means that a transaction was left open.
        if not healthy or self._closed or slot.connection._transaction_status not in (IDLE, None):
            _close(slot.connection)
            return
        slot.used_at = self._clock()
        self._idle.put(slot)


def _commit(connection: Connection) -> None:
    try:
        connection.execute_simple("COMMIT")
    except (InterfaceError, OSError) as exc:
        if not is_network_failure(exc):
            raise
        raise OutcomeUnknown("The database went silent while it was asked to commit.") from exc


def _is_quiet(connection: Connection) -> bool:
    """An idle connection on which there is something to read has been closed by the server, or is about to be."""
    try:
        poll = select.poll()
        poll.register(connection._usock, select.POLLIN)
        return not poll.poll(0)
    except (OSError, ValueError, TypeError):
        return False


def _close(connection: Connection) -> None:
    with suppress(Error, OSError):
        connection.close()
