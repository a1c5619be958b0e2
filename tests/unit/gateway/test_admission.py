"""The handshake between who gives up on the gate and the thread that was to ask it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from navplane.crypto.api_key import digest
from navplane.crypto.kek_cache import CachingKek
from navplane.errors import DependencyUnavailable
from navplane.gateway.admission import Admissions
from navplane.gateway.call import Call
from navplane.gateway.key_health import KeyHealth
from navplane.gateway.limits import Limits
from navplane.gateway.route import find_route
from navplane.gateway.threads import Threads
from navplane.model.dialect import Dialect
from navplane.model.tenancy import Region

from tests.support.gate_memory import MemoryGate
from tests.support.gateway import KEK, add_tenant


class LateToStart(ThreadPoolExecutor):
    """A busy machine: the thread has taken the work, so it can't be cancelled any more, and comes to its first line late."""

    def __init__(self) -> None:
        super().__init__(1)
        self.go_on = threading.Event()
        self.done: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        taken = threading.Event()

        def late() -> Any:
            taken.set()
            assert self.go_on.wait(10)
            return fn(*args, **kwargs)

        self.done.append(super().submit(late))
        assert taken.wait(10)
        return self.done[-1]


def test_who_gave_up_before_the_gate_was_asked_is_not_asked_about() -> None:
    gate, threads = MemoryGate(), Threads()
    tenant = add_tenant(gate)
    threads.gate = late = LateToStart()
    admissions = Admissions(gate, CachingKek(KEK), health=KeyHealth(), threads=threads, limits=Limits(gate=0.05))
    call = Call(
        region=Region.US, headers=(), dialect=Dialect.OPENAI, started_at=datetime.now(UTC), started=0.0, deadline=None,
        route=find_route("POST", b"/v1/chat/completions", ()), model="gpt-5",
    )  # fmt: skip

    async def give_up() -> None:
        with pytest.raises(DependencyUnavailable):
            await admissions.admit(call, key_digest=digest(tenant.key), seconds_left=60)
        late.go_on.set()

    asyncio.run(give_up())
    (asking,) = late.done
    assert isinstance(asking.exception(10), DependencyUnavailable)
    assert gate.asks == []
    # So the call needs no row: nothing can have been reserved.
    assert call.uncertain is False
    threads.shutdown()
