"""Our runtime on AWS's own Runtime API. The emulator buffers, answers 200 to everything and drops what is in trailers: so
these show that the wire form is accepted and means what we mean, not when anything arrives."""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from navplane_local.emulator import Emulator, Result, binary, emulated
from navplane_local.invoke import ROOT

from tests.e2e.rie import small_app
from tests.support.runtime_api import function_url_event, rest_event

TIMEOUT_SECONDS = 2


@pytest.fixture(scope="module")
def emulator(host_build: Path, bootstrap: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("task")
    shutil.copy(small_app.__file__, folder / "handler.py")
    variables = task_variables(host_build, folder)
    with (folder / "log").open("wb") as log:
        rie = binary(ROOT)
        with emulated(rie, bootstrap=bootstrap, variables=variables, timeout_seconds=TIMEOUT_SECONDS, log=log) as running:
            yield running


def task_variables(host_build: Path, folder: Path) -> dict[str, str]:
    opt = host_build / "opt"
    return {
        "PATH": "/usr/bin:/bin",
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": "handler.app",
        "NAVPLANE_OPT": str(opt),
        "AWS_LAMBDA_EXEC_WRAPPER": str(opt / "navplane-runtime"),
    }


def call(emulator: Emulator, path: str, **changes: Any) -> Result:
    return emulator.invoke(json.dumps(function_url_event(rawPath=path, **changes)).encode())


def test_stream_is_a_prelude_and_the_raw_chunks(emulator: Emulator) -> None:
    result = call(emulator, "/stream")
    assert result.document == {"statusCode": 200, "cookies": [], "headers": {"content-type": "text/event-stream"}}
    assert result.body == b"".join(b"data: %d\n\n" % number for number in range(5))


def test_cookies_go_both_ways(emulator: Emulator) -> None:
    result = call(emulator, "/cookies", cookies=["x=1", "y=2"])
    assert result.document["cookies"] == ["a=1; Path=/", "b=2"]
    assert result.document["headers"] == {"vary": "x, y"}
    assert result.body == b"x=1; y=2"


def test_error_before_the_headers_is_the_functions_error(emulator: Emulator) -> None:
    result = call(emulator, "/error-before")
    assert result.error is not None
    assert result.error["errorType"] == "ValueError"
    assert result.error["errorMessage"] == "before the headers"
    assert result.error["stackTrace"]


def test_error_after_the_headers_is_accepted_in_trailers_and_the_next_call_is_served(emulator: Emulator) -> None:
    result = call(emulator, "/error-after")
    assert result.body == b"half"
    assert call(emulator, "/stream").error is None


def test_work_after_the_response_is_done_before_the_next_invocation(emulator: Emulator) -> None:
    first = call(emulator, "/work-after").body
    second = call(emulator, "/work-after").body
    assert first is not None
    assert second is not None
    assert len(second.split(b",")) == len(first.split(b",")) + (first != b"")
    assert second != first


def test_binary_body_of_four_megabytes_reaches_the_app(emulator: Emulator) -> None:
    data = os.urandom(4 << 20)
    result = call(emulator, "/digest", body=base64.b64encode(data).decode(), isBase64Encoded=True)
    assert result.body == hashlib.sha256(data).hexdigest().encode()


def test_five_megabytes_come_back_whole(emulator: Emulator) -> None:
    result = call(emulator, "/big")
    assert result.body == b"".join(bytes([number]) * 100_000 for number in range(50))


def test_deadline_ends_the_response_and_not_the_process(emulator: Emulator) -> None:
    before = call(emulator, "/work-after").body
    assert call(emulator, "/slow").body == b"half"
    after = call(emulator, "/work-after").body
    # A process that had been started anew would have forgotten what it did after its responses.
    assert before is not None
    assert after is not None
    assert len(after) > len(before)


def test_rest_event_reaches_the_app_re_encoded(emulator: Emulator) -> None:
    event = rest_event(
        path="/request/é",
        multiValueQueryStringParameters={"q": ["a b", "ü"]},
        requestContext={"path": "/live/request/é", "stage": "live"},
    )
    result = emulator.invoke(json.dumps(event).encode())
    assert result.body is not None
    assert json.loads(result.body) == {
        "method": "GET",
        "path": "/request/é",
        "root_path": "/live",
        "client": ["192.0.2.8", 0],
        "raw_path": "/request/%C3%A9",
        "query_string": "q=a%20b&q=%C3%BC",
    }


def test_event_that_is_not_http_is_the_functions_error(emulator: Emulator) -> None:
    result = emulator.invoke(b'{"Records": []}')
    assert result.error is not None
    assert result.error["errorType"] == "Runtime.UnknownEvent"


def test_function_sees_its_own_code_then_the_layers_then_the_managed_runtime(emulator: Emulator, host_build: Path) -> None:
    result = call(emulator, "/modules")
    assert result.body is not None
    prefix, first, *rest = json.loads(result.body)
    assert prefix == str(ROOT / ".build" / "host-runtime")
    assert Path(first, "handler.py").is_file()
    assert str(host_build / "opt" / "python") in rest
    assert not [entry for entry in rest if "/.venv/" in entry]


def test_function_that_cannot_start_is_reported_with_its_reason(host_build: Path, bootstrap: Path, tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("import a_module_of_no_layer")
    variables = task_variables(host_build, tmp_path)
    with (
        (tmp_path / "log").open("wb") as log,
        emulated(binary(ROOT), bootstrap=bootstrap, variables=variables, timeout_seconds=TIMEOUT_SECONDS, log=log) as emulator,
    ):
        result = call(emulator, "/")
    assert result.error is not None
    assert result.error["errorType"] == "Runtime.ImportModuleError"
    assert "a_module_of_no_layer" in result.error["errorMessage"]
