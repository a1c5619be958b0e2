"""What a model call used, in one vocabulary for every provider."""

from dataclasses import dataclass
from enum import StrEnum


class Endpoint(StrEnum):
    """The operations the data plane serves. The value is stored: never rename one."""

    CHAT_COMPLETIONS = "chat.completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODELS = "models"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages.count_tokens"
    MODEL = "models.retrieve"
    RESPONSE = "responses.retrieve"
    RESPONSE_DELETE = "responses.delete"
    RESPONSE_CANCEL = "responses.cancel"
    RESPONSE_INPUT_ITEMS = "responses.input_items"
    MODERATIONS = "moderations"
    IMAGES = "images.generations"
    IMAGE_EDITS = "images.edits"
    SPEECH = "audio.speech"
    TRANSCRIPTIONS = "audio.transcriptions"
    TRANSLATIONS = "audio.translations"
    FILE_UPLOAD = "files"
    FILE = "files.retrieve"
    FILE_DELETE = "files.delete"
    FILE_CONTENT = "files.content"
    BATCHES = "batches"
    BATCH = "batches.retrieve"
    BATCH_CANCEL = "batches.cancel"
    MESSAGE_BATCHES = "messages.batches"
    MESSAGE_BATCH = "messages.batches.retrieve"
    MESSAGE_BATCH_CANCEL = "messages.batches.cancel"
    MESSAGE_BATCH_DELETE = "messages.batches.delete"
    MESSAGE_BATCH_RESULTS = "messages.batches.results"


# What makes a batch, and so what is paid for it.
BATCH_CREATIONS = frozenset({Endpoint.BATCHES, Endpoint.MESSAGE_BATCHES})
# What a policy must allow: files and batches.
FILES_AND_BATCHES = BATCH_CREATIONS | {
    Endpoint.FILE_UPLOAD, Endpoint.FILE, Endpoint.FILE_DELETE, Endpoint.FILE_CONTENT, Endpoint.BATCH, Endpoint.BATCH_CANCEL,
    Endpoint.MESSAGE_BATCH, Endpoint.MESSAGE_BATCH_CANCEL, Endpoint.MESSAGE_BATCH_DELETE, Endpoint.MESSAGE_BATCH_RESULTS,
}  # fmt: skip


# What no provider charges for.
UNBILLED = frozenset(
    {Endpoint.MODELS, Endpoint.MODEL, Endpoint.COUNT_TOKENS, Endpoint.MODERATIONS}
    | {Endpoint.RESPONSE, Endpoint.RESPONSE_DELETE, Endpoint.RESPONSE_CANCEL, Endpoint.RESPONSE_INPUT_ITEMS}
    | (FILES_AND_BATCHES - BATCH_CREATIONS)
)


class UsageQuality(StrEnum):
    EXACT = "exact"
    ESTIMATED = "estimated"
    LOST = "lost"


class PriceQuality(StrEnum):
    PRICED = "priced"
    PROVIDER_REPORTED = "provider_reported"
    UNPRICED = "unpriced"


class Outcome(StrEnum):
    """How a request ended. OK: the provider's answer arrived whole, whatever its status below 400. REFUSED: by us, no byte
    reached a provider. FAILED: the provider or a dependency failed before or during the answer. ABORTED: the client left.
    TERMINATED: cut by a limit or the kill switch. LOST: the process died; the reaper closed it."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    ABORTED = "aborted"
    TERMINATED = "terminated"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts. `input_tokens` is ALL input the model read: cached and cache-writing tokens are parts of it, never
    besides it (OpenAI reports it so; Anthropic's three disjoint counts are added up). `output_tokens` includes reasoning.
    `audio_seconds`, `characters` and `images` are what some models are billed by in place of tokens; each begun second counts.
    The provider's own JSON is kept beside these, so prices can be re-run."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    web_searches: int = 0
    audio_seconds: int = 0
    characters: int = 0
    images: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def is_in_tokens(self) -> bool:
        """Whether rates per token tell what it costs."""
        return not (self.audio_seconds or self.characters or self.images)
