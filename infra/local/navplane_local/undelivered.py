"""Messages that a stop could not deliver, one file each; moto forgets its queues with the process."""

import json
from collections.abc import Mapping
from pathlib import Path

from navplane_local.sqs_queue import SqsQueue
from navplane_local.state import write_private


def replay(directory: Path, queues: Mapping[str, SqsQueue]) -> int:
    """Send what was kept. The files stay until `keep` knows the rest: should this run be killed, they are sent again, and
    consumers are idempotent. Returns the number of messages."""
    kept = sorted(directory.glob("*.json"))
    for path in kept:
        message = json.loads(path.read_text())
        queues[message["queue"]].send(message["body"])
    return len(kept)


def keep(directory: Path, queues: Mapping[str, SqsQueue]) -> int:
    """Replace the files by what is still in the queues. Returns the number of messages."""
    old = list(directory.glob("*.json"))
    written: list[Path] = []
    for name, queue in queues.items():
        while messages := queue.receive(10):
            for message in messages:
                path = directory / f"{message.message_id}.json"
                write_private(path, json.dumps({"queue": name, "body": message.body}))
                written.append(path)
    for path in set(old) - set(written):
        path.unlink()
    return len(written)
