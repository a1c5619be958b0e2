"""Which reader understands an endpoint's answers."""

from navplane.model.usage import Endpoint
from navplane.upstream.usage import UnbilledReader, UsageReader
from navplane.upstream.usage_anthropic import MessagesReader
from navplane.upstream.usage_batches import BatchLinesReader, BatchReader
from navplane.upstream.usage_media import ImagesReader, SpeechReader, TranscriptionReader
from navplane.upstream.usage_openai import ChatReader, EmbeddingsReader, ResponsesReader

READERS: dict[Endpoint, type[UsageReader]] = {
    Endpoint.CHAT_COMPLETIONS: ChatReader,
    Endpoint.RESPONSES: ResponsesReader,
    Endpoint.EMBEDDINGS: EmbeddingsReader,
    Endpoint.MODELS: UnbilledReader,
    Endpoint.MESSAGES: MessagesReader,
    Endpoint.COUNT_TOKENS: UnbilledReader,
    Endpoint.MODEL: UnbilledReader,
    Endpoint.RESPONSE: ResponsesReader,
    Endpoint.RESPONSE_DELETE: UnbilledReader,
    Endpoint.RESPONSE_CANCEL: ResponsesReader,
    Endpoint.RESPONSE_INPUT_ITEMS: UnbilledReader,
    Endpoint.MODERATIONS: UnbilledReader,
    Endpoint.IMAGES: ImagesReader,
    Endpoint.IMAGE_EDITS: ImagesReader,
    Endpoint.SPEECH: SpeechReader,
    Endpoint.TRANSCRIPTIONS: TranscriptionReader,
    Endpoint.TRANSLATIONS: TranscriptionReader,
    Endpoint.FILE_UPLOAD: BatchReader,
    Endpoint.FILE: UnbilledReader,
    Endpoint.FILE_DELETE: UnbilledReader,
    Endpoint.FILE_CONTENT: BatchLinesReader,
    Endpoint.BATCHES: BatchReader,
    Endpoint.BATCH: BatchReader,
    Endpoint.BATCH_CANCEL: BatchReader,
    Endpoint.MESSAGE_BATCHES: BatchReader,
    Endpoint.MESSAGE_BATCH: BatchReader,
    Endpoint.MESSAGE_BATCH_CANCEL: BatchReader,
    Endpoint.MESSAGE_BATCH_DELETE: UnbilledReader,
    Endpoint.MESSAGE_BATCH_RESULTS: BatchLinesReader,
}
