"""AWS's Runtime Interface Emulator, from the aws-sam-cli wheel: the real Runtime API, without Docker.

It proves the wire format and no more: it buffers responses, drops errors in trailers, answers 200 to everything and refuses
more than 6 MB.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from navplane_local import tethered

INVOKE = "/2015-03-31/functions/function/invocations"
START_SECONDS = 20
PRELUDE_END = b"\0" * 8


class EmulatorError(Exception):
    """The emulator isn't installed, or did not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`document` is the prelude of a streamed response, whose raw body is `body`; or else what the function returned.
    `error` is AWS's error object when the function failed."""

    document: Any
    body: bytes | None
    error: Mapping[str, Any] | None

    @classmethod
    def parse(cls, payload: bytes) -> "Result":
        head, end, body = payload.partition(PRELUDE_END)
        if end:
            return cls(document=json.loads(head), body=body, error=None)
        document = json.loads(payload) if payload else None
        failed = isinstance(document, dict) and {"errorType", "errorMessage"} <= document.keys()
        return cls(document=document, body=None, error=document if failed else None)


class Emulator:
    """One function's execution environment. Its first invocation includes the start of the function."""

    def __init__(self, port: int, *, timeout_seconds: float) -> None:
        self._url = f"http://127.0.0.1:{port}{INVOKE}"
        self._timeout_seconds = timeout_seconds

    def invoke(self, event: bytes) -> Result:
        request = urllib.request.Request(self._url, data=event, method="POST")  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds + START_SECONDS) as answer:  # noqa: S310
                return Result.parse(answer.read())
        except urllib.error.HTTPError as exc:
            # Only for a function whose process ended; its error object is the body.
            return Result.parse(exc.read())


def binary(root: Path) -> Path:
    """Raise EmulatorError when the AWS tools aren't installed."""
    name = f"aws-lambda-rie-{'arm64' if platform.machine() in ('aarch64', 'arm64') else 'x86_64'}"
    found = sorted(root.glob(f".venv-tools/lib/python3.*/site-packages/samcli/local/rapid/{name}"))
    if not found:
        raise EmulatorError(f"{name} isn't in .venv-tools: `make setup .venv-tools/.ready` installs it")
    return found[-1]


@contextmanager
def emulated(
    rie: Path, *, bootstrap: Path, variables: Mapping[str, str], timeout_seconds: float, log: IO[bytes]
) -> Iterator[Emulator]:
    """The emulator with one function, whose code is in LAMBDA_TASK_ROOT. What both of them log goes to `log`."""
    port, runtime_port = _free_ports()
    rie_address = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}")
    runtime_address = ("--runtime-api-address", f"127.0.0.1:{runtime_port}")
    tether = (sys.executable, "-I", "-S", tethered.__file__, str(os.getpid()), str(int(signal.SIGKILL)), "-")
    process = subprocess.Popen(
        [*tether, str(rie), "--log-level", "error", *rie_address, *runtime_address, str(bootstrap), variables["_HANDLER"]],
        cwd=variables["LAMBDA_TASK_ROOT"],
        env={**variables, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(timeout_seconds))},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        _wait(process, port)
        yield Emulator(port, timeout_seconds=timeout_seconds)
    finally:
        _end(process)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """The emulator has no other sign of being ready than that it takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise EmulatorError(f"the emulator did not start within {START_SECONDS} s (status {process.poll()})")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the emulator and the function, which it has put into a process group of its own."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()
