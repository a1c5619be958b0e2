"""After the last byte: the reservation is settled and the usage event handed over, before the server hears that the call is
done. A call whose key nobody knows has no row; one that the gate may have admitted has."""

from navplane.gate.gate import Gate
from navplane.gateway import background, objects, record
from navplane.gateway.call import Call
from navplane.gateway.closing import Closing
from navplane.gateway.headers import KeyFinder
from navplane.gateway.threads import Threads, run_in
from navplane.model.usage_event import UsageEvent
from navplane.queue.request_log import RequestLog
from navplane.telemetry import logger


class Conclusion:
    """`closing`, where there is one, takes the place of settling and publishing apart."""

    def __init__(
        self, gate: Gate, request_log: RequestLog, *, keys: KeyFinder, threads: Threads, closing: Closing | None = None
    ) -> None:
        self._gate, self._request_log, self._keys, self._threads = gate, request_log, keys, threads
        self._closing = closing

    async def conclude(self, call: Call) -> None:
        if call.caller is not None or call.uncertain:
            await run_in(self._threads.log, lambda: self._settle_and_publish(call))
        else:
            record.log_line(call, None)

    def note(self, call: Call) -> str | None:
        """What is kept with an object that a call made: of an input file its plan, of what is paid for later the event to
        complete, and of a batch's output the batch's own. Never raises: an answer that was paid for goes out."""
        assert call.route is not None
        if call.route.endpoint in objects.BATCHES_SHOWN:
            return call.owner.pending_event if call.owner else None
        if not call.background:
            return call.plan.to_json() if call.plan else None
        try:
            largest = call.plan.largest if call.plan else None
            return background.event_to_complete(record.usage_event(call, self._keys), largest_input=largest)
        except Exception as exc:
            record.log_bug(call, exc)
            return None

    def _settle_and_publish(self, call: Call) -> None:
        """Never raises: the caller has its answer, and what is left undone here the reaper does."""
        try:
            event = record.usage_event(call, self._keys)
            if background.is_open(call):
                record.log_line(call, event)
            else:
                self._close(call, event)
            if (earlier := background.completed(call, record.now())) is not None:
                self._settle(earlier)
                self._request_log.publish(earlier)
            self._publish_content(call)
        except Exception as exc:
            record.log_bug(call, exc)

    def _publish_content(self, call: Call) -> None:
        if call.content is None or call.caller is None:
            return
        kept = call.content.kept(call.request_id, call.caller.key_id, self._keys)
        if kept is None:
            logger.warning("content.withheld", extra={"request_id": str(call.request_id), "reason": "a key stands in it"})
        else:
            self._request_log.publish_content(kept)

    def _close(self, call: Call, event: UsageEvent) -> None:
        if call.admitted is None or not self._close_at_once(event):
            if call.admitted is not None:
                self._settle(event)
            self._request_log.publish(event)
        record.log_line(call, event)

    def _close_at_once(self, event: UsageEvent) -> bool:
        if self._closing is None:
            return False
        charge = record.charge(event)
        try:
            self._closing.settle_and_send(event, tokens=charge.tokens, nano_usd=charge.nano_usd, now=record.now())
        except Exception as exc:
            # Whatever it is: apart, each has its own way of being made up for.
            logger.warning("closing.failed", extra={"request_id": str(event.request_id), "error": type(exc).__name__})
            return False
        return True

    def _settle(self, event: UsageEvent) -> None:
        try:
            self._gate.settle(event.request_id, record.charge(event), record.now())
        except Exception as exc:
            # Whatever it is: the writer finalizes by the event that follows; until then the reservation counts as open.
            logger.warning("settle.failed", extra={"request_id": str(event.request_id), "error": type(exc).__name__})
