import json

from navplane_runtime.fault import MAX_JSON_BYTES, Fault


def deep(levels: int) -> None:
    if levels == 0:
        raise ValueError("at the bottom")
    deep_again(levels - 1)


def deep_again(levels: int) -> None:
    deep(levels)


def caught(levels: int) -> ValueError:
    try:
        deep(levels)
    except ValueError as exc:
        return exc
    raise AssertionError("unreachable")


def test_exception_becomes_awss_error_object() -> None:
    document = json.loads(Fault.from_exception(caught(0)).to_json())
    assert document["errorType"] == "ValueError"
    assert document["errorMessage"] == "at the bottom"
    assert 'raise ValueError("at the bottom")' in document["stackTrace"][-1]


def test_long_stack_loses_its_outermost_frames() -> None:
    wire = Fault.from_exception(caught(60)).to_json()
    assert len(wire) <= MAX_JSON_BYTES
    assert 'raise ValueError("at the bottom")' in json.loads(wire)["stackTrace"][-1]


def test_long_message_is_cut_whatever_its_alphabet() -> None:
    for message in ("x" * 10_000, "€" * 10_000, '"\\' * 10_000, "\x00" * 10_000):
        assert len(Fault("E", message).to_json()) <= MAX_JSON_BYTES


def test_type_is_fit_for_a_header() -> None:
    fault = Fault("Größe", "m")
    assert fault.header == "Gr??e"
    assert json.loads(fault.to_json())["errorType"] == "Gr??e"
