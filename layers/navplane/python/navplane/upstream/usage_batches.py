"""Where batches carry usage: OpenAI's in the batch itself and line by line in its output file, Anthropic's line by line in its
results. Lines are added up as they pass, however many there are."""

import json

from navplane.model.usage import Usage
from navplane.upstream.usage import Object, UsageReader, label, part
from navplane.upstream.usage_anthropic import messages_usage
from navplane.upstream.usage_openai import chat_usage, responses_usage

# A line that is longer is not an answer that anybody can read; what it used is then unknown.
MAX_LINE_BYTES = 16 * 1024 * 1024
BATCH_TIER = "batch"
# How far a batch is that has ended.
OVER = frozenset({"completed", "failed", "expired", "cancelled", "ended"})


class BatchReader(UsageReader):
    """Of a file or a batch. `finish_reason` is how far it is, `files` is what came of a batch that is over."""

    def __init__(self) -> None:
        super().__init__()
        self._usage: Usage | None = None

    def event(self, piece: bytes) -> None:
        pass

    def read_body(self, body: Object) -> None:
        self.object_id = label(body.get("id"))
        files = ((label(body.get("output_file_id")), True), (label(body.get("error_file_id")), False))
        self.files = tuple((file_id, counts) for file_id, counts in files if file_id)
        self.response_model = label(body.get("model"))
        self.finish_reason = label(body.get("status")) or label(body.get("processing_status"))
        if self.finish_reason not in OVER:
            return
        self.service_tier = BATCH_TIER
        counts = part(body, "request_counts")
        counted = responses_usage(part(body, "usage"), web_searches=0)
        if counted != Usage():
            self.raw, self.final, self._usage = body["usage"], True, counted
        elif counts and not counts.get("completed") and not counts.get("succeeded"):
            # Nothing was answered, so nothing was used. With answers and no count the lines have to tell.
            self.raw, self.final, self._usage = {"request_counts": counts}, True, Usage()

    def usage(self) -> Usage | None:
        return self._usage


class BatchLinesReader(UsageReader):
    """Of an output file or of results. Its word is final only if every line of it was read."""

    incremental = True

    def __init__(self) -> None:
        super().__init__()
        self._rest = bytearray()
        self._unread = False
        self._total = dict.fromkeys(Usage.__dataclass_fields__, 0)
        self._answers, self._largest = 0, 0

    def event(self, piece: bytes) -> None:
        pass

    def chunk(self, data: bytes) -> None:
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            for line in (bytes(self._rest) + head).split(b"\n"):
                self._line(line)
            self._rest.clear()
        self._rest += tail
        if len(self._rest) > MAX_LINE_BYTES:
            self._unread = True
            self._rest.clear()

    def body(self, data: bytes) -> None:
        """The end: what stands behind the last line's end is a line, too."""
        self.chunk(data)
        self._line(bytes(self._rest))
        self._rest.clear()
        self.final = not self._unread
        self.service_tier, self.finish_reason = BATCH_TIER, "completed"
        self.raw = {"answers": self._answers, "largest_input_tokens": self._largest}

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            answer = json.loads(line)
            used, self.response_model = _used(answer, self.response_model)
        except (ValueError, TypeError, AttributeError, RecursionError):
            self._unread = True
            return
        if used is not None:
            self._answers += 1
            self._largest = max(self._largest, used.input_tokens)
            for name in self._total:
                self._total[name] += getattr(used, name)

    def usage(self) -> Usage | None:
        return Usage(**self._total) if self.final else None


def _used(line: Object, model: str | None) -> tuple[Usage | None, str | None]:
    """What one line used, and the model that answered; None for a request that was not answered. Raise ValueError for an answer
    without a count, and for what is no line of either kind."""
    if "result" in line:
        return _of_message(line["result"], model)
    if "response" in line:
        return _of_response(line["response"], model)
    raise ValueError("neither a result nor a response")


def _of_message(result: object, model: str | None) -> tuple[Usage | None, str | None]:
    message = part(result, "message")
    if not message:
        return None, model
    if not (usage := part(message, "usage")):
        raise ValueError("a message without usage")
    return messages_usage(usage), label(message.get("model")) or model


def _of_response(response: object, model: str | None) -> tuple[Usage | None, str | None]:
    body = part(response, "body")
    if not isinstance(response, dict) or response.get("status_code") != 200:
        return None, model
    if not (usage := part(body, "usage")):
        raise ValueError("an answer without usage")
    model = label(body.get("model")) or model
    if "prompt_tokens" in usage:
        return chat_usage(usage), model
    output = body.get("output") or []
    searches = sum(1 for item in output if isinstance(item, dict) and item.get("type") == "web_search_call")
    return responses_usage(usage, web_searches=searches), model
