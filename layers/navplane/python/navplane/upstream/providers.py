"""The registry of the providers that NavPlane speaks to: each is one row of data."""

from collections.abc import Iterable

from navplane.model.dialect import Dialect
from navplane.model.policy import matches
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint
from navplane.upstream.provider import AuthScheme, Origin, OwnAddress, Provider

# What OpenAI calls each operation below its `/v1`, and so do those who speak its dialect.
OPENAI_NAMES = {
    Endpoint.CHAT_COMPLETIONS: "/chat/completions",
    Endpoint.RESPONSES: "/responses",
    Endpoint.EMBEDDINGS: "/embeddings",
    Endpoint.MODELS: "/models",
    Endpoint.MODEL: "/models/{model}",
    Endpoint.RESPONSE: "/responses/{id}",
    Endpoint.RESPONSE_DELETE: "/responses/{id}",
    Endpoint.RESPONSE_CANCEL: "/responses/{id}/cancel",
    Endpoint.RESPONSE_INPUT_ITEMS: "/responses/{id}/input_items",
    Endpoint.MODERATIONS: "/moderations",
    Endpoint.IMAGES: "/images/generations",
    Endpoint.IMAGE_EDITS: "/images/edits",
    Endpoint.SPEECH: "/audio/speech",
    Endpoint.TRANSCRIPTIONS: "/audio/transcriptions",
    Endpoint.TRANSLATIONS: "/audio/translations",
    Endpoint.FILE_UPLOAD: "/files",
    Endpoint.FILE: "/files/{id}",
    Endpoint.FILE_DELETE: "/files/{id}",
    Endpoint.FILE_CONTENT: "/files/{id}/content",
    Endpoint.BATCHES: "/batches",
    Endpoint.BATCH: "/batches/{id}",
    Endpoint.BATCH_CANCEL: "/batches/{id}/cancel",
}


_CORE = (Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.EMBEDDINGS, Endpoint.MODELS, Endpoint.MODEL)
_STORED = (
    Endpoint.RESPONSE, Endpoint.RESPONSE_DELETE, Endpoint.RESPONSE_CANCEL, Endpoint.RESPONSE_INPUT_ITEMS,
)  # fmt: skip
_MEDIA = (
    Endpoint.MODERATIONS, Endpoint.IMAGES, Endpoint.IMAGE_EDITS, Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS,
    Endpoint.TRANSLATIONS,
)  # fmt: skip


_BATCHED = (
    Endpoint.FILE_UPLOAD, Endpoint.FILE, Endpoint.FILE_DELETE, Endpoint.FILE_CONTENT, Endpoint.BATCHES, Endpoint.BATCH,
    Endpoint.BATCH_CANCEL,
)  # fmt: skip


def _below(base: str, *endpoints: Endpoint) -> dict[Endpoint, str]:
    return {endpoint: base + OPENAI_NAMES[endpoint] for endpoint in endpoints}


OPENAI = Provider(
    name="openai",
    title="OpenAI",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.openai.com", port=443),
    # platform.openai.com/docs/guides/your-data: for projects whose data residency is Europe.
    other_hosts={Region.EU: Origin(scheme="https", host="eu.api.openai.com", port=443)},
    auth=AuthScheme.BEARER,
    models=(
        "gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "o5*", "codex-*", "computer-use-*",
        "text-embedding-*", "omni-moderation-*", "text-moderation-*", "dall-e-*", "chatgpt-image-*",
        "tts-*", "whisper-*", "ft:*", "demo", "demo-*", "davinci-*", "babbage-*",
    ),
    paths=_below("/v1", *_CORE, *_STORED, *_MEDIA, *_BATCHED),
    accepts_include_usage=True,
    validation_path="/v1/models",
)  # fmt: skip

ANTHROPIC = Provider(
    name="anthropic",
    title="Anthropic",
    dialect=Dialect.ANTHROPIC,
    origin=Origin(scheme="https", host="api.anthropic.com", port=443),
    auth=AuthScheme.ANTHROPIC,
    models=("claude-*", "demo", "demo-*"),
    paths={
        Endpoint.MESSAGES: "/v1/messages",
        Endpoint.COUNT_TOKENS: "/v1/messages/count_tokens",
        Endpoint.MESSAGE_BATCHES: "/v1/messages/batches",
        Endpoint.MESSAGE_BATCH: "/v1/messages/batches/{id}",
        Endpoint.MESSAGE_BATCH_CANCEL: "/v1/messages/batches/{id}/cancel",
        Endpoint.MESSAGE_BATCH_DELETE: "/v1/messages/batches/{id}",
        Endpoint.MESSAGE_BATCH_RESULTS: "/v1/messages/batches/{id}/results",
        Endpoint.MODELS: "/v1/models",
        Endpoint.MODEL: "/v1/models/{model}",
    },
    accepts_include_usage=False,
    validation_path="/v1/models",
    headers=(("anthropic-version", "2023-06-01"),),
)

# Those that speak OpenAI's dialect. Names of models that several of them serve route nowhere without a prefix.
OPENROUTER = Provider(
    name="openrouter",
    title="OpenRouter",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="openrouter.ai", port=443),
    auth=AuthScheme.BEARER,
    models=(),
    paths=_below("/api/v1", Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.EMBEDDINGS, Endpoint.MODELS),
    # Every answer carries usage (openrouter.ai/docs, usage accounting).
    accepts_include_usage=False,
    # The list of models is public: it would take any key.
    validation_path="/api/v1/key",
    reports_cost=True,
    # 403 is the verdict of a moderation on the input, and the caller's to see.
    key_refusals=frozenset({401}),
)

GOOGLE = Provider(
    name="google",
    title="Google Gemini",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="generativelanguage.googleapis.com", port=443),
    auth=AuthScheme.BEARER,
    models=("gemini-*", "models/gemini-*"),
    paths=_below(
        "/v1beta/openai", Endpoint.CHAT_COMPLETIONS, Endpoint.EMBEDDINGS, Endpoint.MODELS, Endpoint.MODEL, Endpoint.IMAGES
    ),
    accepts_include_usage=True,
    validation_path="/v1beta/openai/models",
    # A key that is none is an invalid argument to Google.
    invalid_key_statuses=frozenset({400, 401, 403}),
)

MISTRAL = Provider(
    name="mistral",
    title="Mistral AI",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.mistral.ai", port=443),
    # help.mistral.ai: hosted in the European Union unless the US endpoint is asked for.
    regions=frozenset({Region.US, Region.EU}),
    auth=AuthScheme.BEARER,
    models=(
        "mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "voxtral-*", "open-mistral-*",
    ),
    paths=_below(
        "/v1", Endpoint.CHAT_COMPLETIONS, Endpoint.EMBEDDINGS, Endpoint.MODELS, Endpoint.MODEL, Endpoint.MODERATIONS,
        Endpoint.TRANSCRIPTIONS,
    ),
    # The last event of a stream has it; unknown options are refused.
    accepts_include_usage=False,
    validation_path="/v1/models",
)  # fmt: skip

GROQ = Provider(
    name="groq",
    title="Groq",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.groq.com", port=443),
    auth=AuthScheme.BEARER,
    models=(),
    paths=_below(
        "/openai/v1",
        Endpoint.CHAT_COMPLETIONS,
        Endpoint.RESPONSES,
        Endpoint.MODELS,
        Endpoint.MODEL,
        Endpoint.SPEECH,
        Endpoint.TRANSCRIPTIONS,
        Endpoint.TRANSLATIONS,
    ),
    # The last event of a stream has it under `x_groq`.
    accepts_include_usage=False,
    validation_path="/openai/v1/models",
)

DEEPSEEK = Provider(
    name="deepseek",
    title="DeepSeek",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.deepseek.com", port=443),
    auth=AuthScheme.BEARER,
    models=("deepseek-chat", "deepseek-reasoner"),
    paths=_below("", Endpoint.CHAT_COMPLETIONS, Endpoint.MODELS),
    accepts_include_usage=True,
    validation_path="/models",
)

XAI = Provider(
    name="xai",
    title="xAI",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.x.ai", port=443),
    auth=AuthScheme.BEARER,
    models=("grok-*",),
    paths=_below("/v1", *_CORE, Endpoint.RESPONSE, Endpoint.RESPONSE_DELETE, Endpoint.IMAGES),
    # Every event of a stream has it, counted so far.
    accepts_include_usage=False,
    validation_path="/v1/models",
    # A key that is none is an invalid argument to xAI, too.
    invalid_key_statuses=frozenset({400, 401, 403}),
)

TOGETHER = Provider(
    name="together",
    title="Together AI",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.together.xyz", port=443),
    auth=AuthScheme.BEARER,
    models=(),
    paths=_below(
        "/v1",
        Endpoint.CHAT_COMPLETIONS,
        Endpoint.EMBEDDINGS,
        Endpoint.MODELS,
        Endpoint.IMAGES,
        Endpoint.SPEECH,
        Endpoint.TRANSCRIPTIONS,
        Endpoint.TRANSLATIONS,
    ),
    # The last event of a stream has it.
    accepts_include_usage=False,
    validation_path="/v1/models",
)

AZURE = Provider(
    name="azure",
    title="Azure OpenAI",
    dialect=Dialect.OPENAI,
    origin=None,
    address=OwnAddress(
        hosts=r"[a-z0-9][a-z0-9-]{0,62}\.(?:openai\.azure|cognitiveservices\.azure|services\.ai\.azure)\.com",
        example="https://my-resource.openai.azure.com",
    ),
    auth=AuthScheme.API_KEY,
    models=(),
    paths=_below(
        "/openai/v1",
        *_CORE,
        *_STORED,
        Endpoint.IMAGES,
        Endpoint.IMAGE_EDITS,
        Endpoint.SPEECH,
        Endpoint.TRANSCRIPTIONS,
        Endpoint.TRANSLATIONS,
    ),
    deployment_paths=_below(
        "/openai/deployments/{model}", Endpoint.CHAT_COMPLETIONS, Endpoint.EMBEDDINGS, Endpoint.IMAGES, Endpoint.SPEECH
    ),
    accepts_include_usage=True,
    validation_path="/openai/v1/models",
)

BEDROCK = Provider(
    name="bedrock",
    title="Amazon Bedrock",
    dialect=Dialect.OPENAI,
    origin=None,
    address=OwnAddress(
        hosts=r"bedrock-mantle\.[a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}\.api\.aws",
        example="https://bedrock-mantle.us-east-1.api.aws",
        within={Region.EU: r"bedrock-mantle\.eu-.+", Region.US: r"bedrock-mantle\.(?!eu-).+"},
    ),
    auth=AuthScheme.BEARER,
    models=(),
    paths=_below(
        "/v1", Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MODELS, Endpoint.RESPONSE, Endpoint.RESPONSE_DELETE
    ),
    # Not documented for this surface.
    accepts_include_usage=False,
    validation_path="/v1/models",
)

CUSTOM = Provider(
    name="custom",
    title="the custom provider",
    dialect=Dialect.OPENAI,
    origin=None,
    address=OwnAddress(hosts=None, example="https://llm.example.com/v1, at a public address"),
    auth=AuthScheme.BEARER,
    models=(),
    paths=_below("", *_CORE, *_MEDIA),
    accepts_include_usage=False,
    validation_path="/models",
)

PROVIDERS: dict[str, Provider] = {
    provider.name: provider for provider in (
        OPENAI, ANTHROPIC, OPENROUTER, GOOGLE, MISTRAL, GROQ, DEEPSEEK, XAI, TOGETHER, AZURE, BEDROCK, CUSTOM,
    )
}  # fmt: skip


def serving(endpoint: Endpoint, model: str, *, among: Iterable[Provider] = PROVIDERS.values()) -> Provider | None:
    """The first provider of the registry that offers `endpoint` and whose patterns match `model`."""
    for provider in among:
        if endpoint in provider.paths and any(matches(pattern, model) for pattern in provider.models):
            return provider
    return None
