"""What a request asks for that no answer counts in tokens: characters to be spoken, pictures to be made."""

from navplane.gateway.body import ModelCall
from navplane.model.usage import Endpoint, Usage

PICTURES = frozenset({Endpoint.IMAGES, Endpoint.IMAGE_EDITS})


def units_of(endpoint: Endpoint, request: ModelCall) -> Usage:
    """As OpenAI's older models are billed: speech by the characters of its input, pictures one by one. Nothing for all else."""
    if endpoint is Endpoint.SPEECH:
        return Usage(characters=_length(request))
    if endpoint in PICTURES:
        member = request.members.get("n")
        return Usage(images=member.value if member is not None and _is_count(member.value) else 1)
    return Usage()


def _length(request: ModelCall) -> int:
    spoken = next((member.value for member in request.everything if member.key == "input"), None)
    return len(spoken) if isinstance(spoken, str) else 0


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value <= 1000
