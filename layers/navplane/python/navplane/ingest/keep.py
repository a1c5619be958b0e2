"""Kept contents: sorted out of a batch before its usage events are read, and stored after them.

Usage goes first and never waits for content. What can't be stored is dropped, with a line that says so: content is never buried
where operators look, and never written to a log.
"""

from collections.abc import Sequence

from navplane.errors import DependencyUnavailable
from navplane.model.kept_content import MARK, KeptContent
from navplane.model.usage_event import MalformedEvent
from navplane.queue.message import Message
from navplane.store import request_contents
from navplane.store.database import Database
from navplane.store.request_logs import Unrecordable
from navplane.telemetry import logger


def sort_out(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Those that carry content, and all others."""
    carrying = [message for message in messages if message.body.startswith(MARK)]
    return carrying, [message for message in messages if not message.body.startswith(MARK)]


def keep(database: Database, messages: Sequence[Message]) -> frozenset[str]:
    """The ids of those that must come back, because the database is away."""
    contents = [content for message in messages if (content := _content(message)) is not None]
    if not contents:
        return frozenset()
    try:
        with database.transaction() as db:
            kept = request_contents.keep(db, contents)
    except DependencyUnavailable:
        return frozenset(message.id for message in messages)
    except Unrecordable as exc:
        logger.error("content.dropped", extra={"messages": len(messages), "error": str(exc)})
        return frozenset()
    logger.info("content.kept", extra={"messages": len(messages), "kept": kept})
    return frozenset()


def _content(message: Message) -> KeptContent | None:
    try:
        return KeptContent.from_json(message.body)
    except MalformedEvent:
        logger.error("content.dropped", extra={"message_id": message.id, "error": "malformed"})
        return None
