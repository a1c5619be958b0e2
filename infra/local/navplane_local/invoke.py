"""`python -m navplane_local.invoke FUNCTION EVENT`: a built function under the real Runtime Interface Emulator.

What runs is the build for this machine's Python: the function's folder and the merged layers, on an interpreter that holds
only what the managed runtime has. So a package that is missing from a layer is missing here too.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from navplane_local import managed_runtime, running
from navplane_local.emulator import EmulatorError, Result, binary, emulated
from navplane_local.stack import Function
from navplane_local.stack_builder import build
from navplane_local.template import load

ROOT = Path(__file__).parents[3]
# What may be given although the template says nothing of it.
LOCAL_PREFIXES = ("DATABASE_", "NAVPLANE_UPSTREAM_OVERRIDE_", "NAVPLANE_DEMO_UPSTREAM", "AWS_ENDPOINT_URL")
NOWHERE = "http://127.0.0.1:1"
PARAMETERS = {
    "DatabaseHost": "127.0.0.1",
    "DatabaseResourceId": "local",
    "OidcIssuer": NOWHERE,
    "NavplaneMode": "local",
    "KekProvider": "local",
    "EncryptionKeySecretId": "local",
}


def functions() -> dict[str, Function]:
    """By the name of their folder."""
    stack = build(load(ROOT / "template.yaml"), root=ROOT, aws_endpoint=NOWHERE, parameters=PARAMETERS)
    return {function.name: function for function in stack.functions.values()}


def build_for_host() -> Path:
    """`.build/host`: `opt` and `functions/NAME`. Unchanged inputs are not built again."""
    subprocess.run([ROOT / "infra" / "build" / "build", "host"], check=True)
    return ROOT / ".build" / "host"


def runtime() -> Path:
    """The bootstrap of the managed runtime for this machine's Python."""
    return managed_runtime.prepare(ROOT / ".build" / "host-runtime")


def variables_of(function: Function, host: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What Lambda sets, then the template's variables, then what `given` has of them. Without a database, a queue or an
    issuer in `given` these are at an address where nobody answers."""
    opt = host / "opt"
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "NAVPLANE_OPT": str(opt),
        "LAMBDA_TASK_ROOT": str(host / "functions" / function.name),
        "_HANDLER": function.handler,
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        **function.environment,
        **_local_variables(function),
    }
    if wrapper := variables.get("AWS_LAMBDA_EXEC_WRAPPER"):
        variables["AWS_LAMBDA_EXEC_WRAPPER"] = wrapper.replace("/opt", str(opt), 1)
    return variables | {name: value for name, value in given.items() if _may_be_given(name, function)}


def _may_be_given(name: str, function: Function) -> bool:
    return name in function.environment or name in _local_variables(function) or name.startswith(LOCAL_PREFIXES)


def _local_variables(function: Function) -> dict[str, str]:
    local = {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL": NOWHERE,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DATABASE_AUTH": "password",
        "DATABASE_PASSWORD": "none",
        "DATABASE_PORT": "1",
        "DATABASE_TLS": "off",
    }
    if "CONSOLE_SESSION_KEY_SECRET_ID" in function.environment:
        local["CONSOLE_SESSION_KEY"] = secrets.token_urlsafe(48)
    if "KEK_PROVIDER" in function.environment:
        local["ENCRYPTION_KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    return local


def given_to(function: Function) -> dict[str, str]:
    """The caller's environment, over what a NavPlane that runs on this machine lends."""
    state = Path(os.environ.get("NAVPLANE_STATE_DIR") or ROOT / ".navplane")
    user = function.environment.get("DATABASE_USER")
    return (running.variables(state, user=user) if user else {}) | dict(os.environ)


def show(result: Result) -> str:
    """The answer as HTTP where it is one, as JSON otherwise."""
    document = result.document
    if not isinstance(document, dict) or "statusCode" not in document:
        return json.dumps(document, indent=2)
    headers = {**document.get("headers", {}), **document.get("multiValueHeaders", {})}
    lines = [f"HTTP {document['statusCode']}", *(f"{name}: {value}" for name, value in headers.items())]
    lines += [f"set-cookie: {cookie}" for cookie in document.get("cookies") or []]
    return "\n".join([*lines, "", body_of(result).decode("utf-8", "replace")])


def body_of(result: Result) -> bytes:
    if result.body is not None:
        return result.body
    document: dict[str, Any] = result.document
    text = document.get("body") or ""
    return base64.b64decode(text) if document.get("isBase64Encoded") else text.encode()


def invoke(function: Function, event: bytes, *, given: Mapping[str, str]) -> Result:
    variables = variables_of(function, build_for_host(), given)
    with emulated(
        binary(ROOT), bootstrap=runtime(), variables=variables, timeout_seconds=function.timeout_seconds, log=sys.stderr.buffer
    ) as emulator:
        return emulator.invoke(event)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not all(arguments):
        print("usage: make invoke FN=proxy EVENT=tests/events/proxy-health.json", file=sys.stderr)
        return 2
    name, path = arguments
    known = functions()
    if name not in known:
        print(f"there is no function {name!r}; there are: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    if not Path(path).is_file():
        print(f"there is no event file {path!r}; tests/events has some", file=sys.stderr)
        return 2
    try:
        result = invoke(known[name], Path(path).read_bytes(), given=given_to(known[name]))
    except (EmulatorError, OSError, subprocess.CalledProcessError) as exc:
        print(exc, file=sys.stderr)
        return 1
    print(show(result))
    return 1 if result.error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
