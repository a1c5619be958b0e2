"""What a template amounts to here: functions with their event sources, queues, and the routes of each API."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from navplane_local.resolver import ACCOUNT_ID, REGION


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method (`ANY` for all) and path of an API. `streaming` is the REST API's response transfer mode."""

    api: str
    method: str
    path: str
    function: str
    streaming: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsSource:
    """A queue that invokes a function; seconds and counts are those of the event source mapping."""

    queue: str
    batch_size: int
    window_seconds: float
    reports_item_failures: bool
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`input` is the JSON text that the function gets, None for the scheduled event of EventBridge."""

    name: str
    every_seconds: float
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """`name` is its folder's. `layers` are directories for the import path. `concurrency` bounds its environments."""

    logical_id: str
    name: str
    folder: Path
    handler: str
    timeout_seconds: float
    memory_mb: int
    environment: Mapping[str, str]
    layers: tuple[Path, ...]
    concurrency: int
    function_url_streams: bool | None
    sources: tuple[SqsSource, ...]
    schedules: tuple[Schedule, ...]

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.logical_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`dead_letter_queue` is the logical id of the queue that takes what was received `max_receive_count` times."""

    logical_id: str
    name: str
    visibility_seconds: int
    retention_seconds: int
    dead_letter_queue: str | None
    max_receive_count: int | None

    @property
    def arn(self) -> str:
        return queue_arn(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestApi:
    """`stage` is the first segment of its URLs; bodies whose type is among `binary_types` come base64-encoded."""

    logical_id: str
    stage: str
    binary_types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    functions: Mapping[str, Function]
    queues: Mapping[str, Queue]
    routes: tuple[Route, ...]
    rest_apis: Mapping[str, RestApi]


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
