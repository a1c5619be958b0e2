"""The way past the gate: ask it within a bounded time, open the provider's key, and ask again before the first byte."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from navplane.crypto.kek_cache import CachingKek
from navplane.errors import DependencyUnavailable, OutcomeUnknown
from navplane.gate.gate import Admission, Ask, Caller, Candidate, Gate, Refusal, RefusalReason
from navplane.gateway import forward, objects, record
from navplane.gateway.admit import ask_of, error_of, refused
from navplane.gateway.batches import BatchPlan
from navplane.gateway.call import Call
from navplane.gateway.choose import tries_of
from navplane.gateway.key_health import KeyHealth
from navplane.gateway.limits import Limits
from navplane.gateway.memory import AdmissionMemory, Remembered
from navplane.gateway.threads import Threads, run_in
from navplane.model.provider_key import Secret
from navplane.telemetry import logger
from navplane.upstream.providers import PROVIDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """`tries` are in order, and at least one; `secret` is the first one's key, where it was at hand."""

    admission: Admission
    tries: tuple[Candidate, ...]
    secret: Secret | None


class Admissions:
    def __init__(self, gate: Gate, keys: CachingKek, *, health: KeyHealth, threads: Threads, limits: Limits) -> None:
        self._gate, self._keys, self._health = gate, keys, health
        self._threads, self._limits = threads, limits
        self._memory = AdmissionMemory(seconds=limits.outage_memory)
        self._handover = threading.Lock()

    async def admit(self, call: Call, *, key_digest: bytes, seconds_left: float) -> Granted:
        """Raise the gate's refusal, or DependencyUnavailable when the gate can't answer (never a 401 for that), unless what it
        last said may outlast it."""
        ask = ask_of(call, key_digest=key_digest, seconds_left=seconds_left)
        if (remembered := self._memory.spare(ask, time.monotonic())) is not None:
            return self._go_by(call, ask, remembered)
        try:
            async with asyncio.timeout(self._limits.gate):
                answer = await run_in(self._threads.gate, lambda: self._ask(call, ask))
        except BaseException as exc:
            with self._handover:
                call.given_up = True
            if not isinstance(exc, (TimeoutError, DependencyUnavailable)):
                raise
            if (remembered := self._memory.recall(ask, time.monotonic())) is not None:
                return self._go_by(call, ask, remembered)
            if not isinstance(exc, TimeoutError):
                raise
            raise DependencyUnavailable("It could not be decided in time whether this call may go on.") from exc
        if isinstance(answer, Refusal):
            raise error_of(answer, call)
        return answer

    def _ask(self, call: Call, ask: Ask) -> Granted | Refusal:
        """The answer, and in the same trip to a thread the provider's key, if its data key is at hand."""
        asked_at = time.monotonic()
        # In this order: either the one who gave up sees that the gate is asked, or it is not asked.
        call.uncertain = True
        try:
            if call.given_up:
                raise DependencyUnavailable("Nobody waits for this admission any more.")
            answer = self._gate.admit(ask, record.now())
        except OutcomeUnknown:
            raise
        except Exception:
            call.uncertain = False
            raise
        answered = time.monotonic()
        if isinstance(answer, Refusal):
            self._memory.note(ask, answer, at=asked_at, answered=answered)
        with self._handover:
            if call.given_up:
                raise OutcomeUnknown("Nobody waits for this admission any more.")
            call.uncertain, call.caller = False, answer.caller
            if isinstance(answer, Admission):
                call.admitted = asked_at
                _lead(call, answer)
        if isinstance(answer, Refusal):
            call.workflow_version = answer.workflow_version
            if call.plan is not None and answer.caller is not None:
                # Why it is refused may be read off the file: nobody else's business.
                objects.require_own(self._gate, call)
            return answer
        self._memory.note(ask, answer, at=asked_at, answered=answered, keep=not objects.touches_objects(call))
        objects.require_own(self._gate, call)
        return self._granted(call, answer, asked_at)

    def _go_by(self, call: Call, ask: Ask, remembered: Remembered) -> Granted:
        """Nothing is reserved, and nothing is held: such a call has no limits."""
        now, admission = time.monotonic(), replace(remembered.admission, request_id=ask.request_id)
        facts = {
            "request_id": str(ask.request_id),
            "org_id": str(admission.caller.org_id),
            "age": round(now - remembered.at, 1),
        }
        logger.warning("admission.remembered", extra=facts)
        call.caller, call.remembered = admission.caller, remembered.at
        _lead(call, admission)
        return self._granted(call, admission, now)

    def _granted(self, call: Call, admission: Admission, now: float) -> Granted:
        tries = tries_of(admission, call, self._health, now)
        return Granted(admission=admission, tries=tries, secret=forward.open_at_hand(tries[0].key, self._keys))

    async def open(self, candidate: Candidate) -> Secret:
        """The candidate's key. Raise KeyUnavailable."""
        return await run_in(self._threads.keys, lambda: forward.open_key(candidate.key, self._keys))

    async def confirm(self, call: Call) -> None:
        """There is a connection and nothing was written to it yet: the last moment to find out about a kill."""
        assert call.caller is not None
        # Whom a remembered admission lets through nobody can ask about.
        if call.admitted is not None and time.monotonic() - call.admitted > self._limits.admission_age:
            (reason,) = await self.standing([call.caller])
            if reason is not None:
                raise refused(reason, call)
        call.written = True

    async def standing(self, callers: Sequence[Caller]) -> Sequence[RefusalReason | None]:
        return await run_in(self._threads.gate, lambda: self._gate.standing(callers, record.now()))

    async def plan_of(self, call: Call, file_id: str) -> BatchPlan | None:
        """What stands in a file that was uploaded as the input of a batch."""
        return await run_in(self._threads.gate, lambda: objects.plan_of(self._gate, call, file_id))

    async def bind(self, call: Call, object_id: str, *, note: str | None) -> None:
        """What the provider made belongs to the caller's organization from here on; `note` is kept with it."""
        await run_in(self._threads.gate, lambda: objects.bind_all(self._gate, call, object_id, record.now(), note=note))


def _lead(call: Call, admission: Admission) -> None:
    call.provider = PROVIDERS[admission.candidates[0].provider]
    call.route_name, call.workflow_version = admission.route, admission.workflow_version
    call.outlasts_gate = admission.may_outlast_gate
