"""JSON lines on standard output: with an exec wrapper the managed runtime's logging is gone."""

import contextvars
import json
import logging
import sys
import time

from navplane_runtime.fault import Fault

request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)


class JSONFormatter(logging.Formatter):
    """The field names are those of Lambda's own JSON log format."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname, "message": record.getMessage(), "logger": record.name}
        if record.exc_info:
            line["stackTrace"] = self.formatException(record.exc_info)
        return _line(record.created, line)


def configure(level: str) -> None:
    """Send what goes to the root logger to standard output, from `level` up, and write out every line at once."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(handlers=[handler], level=level if level in logging.getLevelNamesMapping() else "WARNING")


def fault(message: str, fault: Fault) -> None:
    line = {"level": "ERROR", "message": message, "logger": "navplane_runtime"}
    print(_line(time.time(), line | json.loads(fault.to_json())), flush=True)


def _line(seconds: float, fields: dict[str, str]) -> str:
    timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
    return json.dumps({"timestamp": timestamp, **fields, "requestId": request_id.get()})
