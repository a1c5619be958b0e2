"""Every call an application makes, with the unmodified SDK of the environment that runs it: `sdk_calls.py openai|anthropic`.

Nothing is configured here: base URL and key come from the SDK's own environment variables. Prints one JSON line per call.
"""

import json
import sys
from typing import Any

PROMPT = "Say hello, “Grüße” and 你好 to the gateway."


def report(
    call: str,
    *,
    stream: bool = False,
    model: str | None = None,
    usage: Any = None,
    text: str | None = None,
    deltas: int | None = None,
) -> None:
    usage = usage.model_dump() if usage is not None else None
    line = {"call": call, "stream": stream, "model": model, "usage": usage, "text": text, "deltas": deltas}
    print(json.dumps(line), flush=True)


def openai_calls() -> None:
    import openai

    client = openai.OpenAI()
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    for model in ("demo", "demo-cached-cache-write", "demo-reasoning"):
        chat(client, model, messages)
        chat_streamed(client, model, messages)
        response(client, model)
        response_streamed(client, model)
    embedding = client.embeddings.create(model="text-embedding-demo", input=[PROMPT, "second"])
    report("embeddings", model="text-embedding-demo", usage=embedding.usage)
    report("models", text=client.models.list().data[0].id)


def chat(client: Any, model: str, messages: Any) -> None:
    answer = client.chat.completions.create(model=model, messages=messages)
    report("chat.completions", model=model, usage=answer.usage, text=answer.choices[0].message.content)


def chat_streamed(client: Any, model: str, messages: Any) -> None:
    stream = client.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    usage = chunks[-1].usage
    report("chat.completions", stream=True, model=model, usage=usage, text="".join(deltas), deltas=len(deltas))


def response(client: Any, model: str) -> None:
    answer = client.responses.create(model=model, input=PROMPT)
    report("responses", model=model, usage=answer.usage, text=answer.output_text)


def response_streamed(client: Any, model: str) -> None:
    events = list(client.responses.create(model=model, input=PROMPT, stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    usage = events[-1].response.usage
    report("responses", stream=True, model=model, usage=usage, text="".join(deltas), deltas=len(deltas))


def anthropic_calls() -> None:
    import anthropic

    client = anthropic.Anthropic()
    plain: Any = {"system": "Be brief.", "messages": [{"role": "user", "content": PROMPT}]}
    for model in ("demo", "demo-cached", "demo-reasoning"):
        message(client, model, plain)
        message_streamed(client, model, plain)
    message(client, "demo", cache_writing())
    message_streamed(client, "demo", cache_writing())
    counted = client.messages.count_tokens(model="demo", **plain)
    report("messages.count_tokens", model="demo", usage=counted)
    report("models", text=client.models.list().data[0].id)


def cache_writing() -> Any:
    system = [{"type": "text", "text": "A long context. " * 40, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    part = {"type": "text", "text": "Some more of it. " * 10, "cache_control": {"type": "ephemeral"}}
    return {"system": system, "messages": [{"role": "user", "content": [part, {"type": "text", "text": PROMPT}]}]}


def message(client: Any, model: str, request: Any) -> None:
    answer = client.messages.create(model=model, max_tokens=512, **request)
    text = next(block.text for block in answer.content if block.type == "text")
    report("messages", model=model, usage=answer.usage, text=text)


def message_streamed(client: Any, model: str, request: Any) -> None:
    with client.messages.stream(model=model, max_tokens=512, **request) as stream:
        deltas = list(stream.text_stream)
        usage = stream.get_final_message().usage
    report("messages", stream=True, model=model, usage=usage, text="".join(deltas), deltas=len(deltas))


if __name__ == "__main__":
    {"openai": openai_calls, "anthropic": anthropic_calls}[sys.argv[1]]()
