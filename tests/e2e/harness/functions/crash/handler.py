import os
import time
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    how = event["pathParameters"]["how"]
    if how == "raise":
        raise ValueError("asked to fail")
    if how == "exit":
        os._exit(3)
    if how == "hang":
        time.sleep(600)
    return {"how": how, "remaining_ms": context.get_remaining_time_in_millis()}
