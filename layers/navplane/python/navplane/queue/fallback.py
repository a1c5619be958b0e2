"""The last resort for a usage event that no queue takes: one log line that holds all of it, and how to read it back."""

import json
from collections.abc import Callable, Iterable, Iterator

from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.telemetry import logger

# What operators search their logs for, and what `navplane ledger replay` reads: never rename either.
MESSAGE = "ledger.fallback"
FIELD = "usage_event"


def write_unless_sent(send: Callable[[UsageEvent], None], event: UsageEvent) -> bool:
    """Send `event`, or else write it to the log. Returns whether it was sent; never raises."""
    try:
        send(event)
        return True
    # Whatever went wrong, the caller has had its answer already and the event must not be lost.
    except Exception as exc:
        write(event, reason=type(exc.__cause__ or exc).__name__)
        return False


def send_content(send: Callable[[str], None], content: KeptContent) -> None:
    """Send `content`, or go without: it must not reach a log."""
    try:
        send(content.to_json())
    except Exception as exc:
        facts = {"request_id": str(content.request_id), "error": type(exc.__cause__ or exc).__name__}
        logger.warning("content.unsent", extra=facts)


def write(event: UsageEvent, *, reason: str) -> None:
    logger.error(MESSAGE, extra={FIELD: event.to_json(), "reason": reason})


def read(lines: Iterable[str]) -> Iterator[UsageEvent]:
    """The events of the fallback lines among `lines`, in order; every other line is passed over. Text before the line's JSON
    (a time, a stream's name) is what log exports put there. Raise MalformedEvent for a fallback line that holds no event."""
    for number, line in enumerate(lines, start=1):
        if MESSAGE in line and (record := _record(line)) is not None:
            yield _event(record, number)


def _record(line: str) -> dict[str, object] | None:
    start = line.find("{")
    try:
        record = json.loads(line[start:]) if start >= 0 else None
    except ValueError:
        # A broken line is only ours to report if it is a fallback line and not one that merely speaks of it.
        record = {"message": MESSAGE} if f'"{FIELD}"' in line else None
    return record if isinstance(record, dict) and record.get("message") == MESSAGE else None


def _event(record: dict[str, object], number: int) -> UsageEvent:
    text = record.get(FIELD)
    if not isinstance(text, str):
        raise MalformedEvent(f"line {number}: a {MESSAGE} line without its event")
    try:
        return UsageEvent.from_json(text)
    except MalformedEvent as exc:
        raise MalformedEvent(f"line {number}: {exc}") from exc
