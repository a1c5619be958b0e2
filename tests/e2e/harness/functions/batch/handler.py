import json
import os
import socket
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as sink:
        sink.connect(os.environ["SINK"])
        sink.sendall(json.dumps({"records": event["Records"]}).encode() + b"\n")
        sink.makefile().readline()
    if any(record["body"] == "raise" for record in event["Records"]):
        raise RuntimeError("asked to fail")
    failed = [record["messageId"] for record in event["Records"] if record["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
