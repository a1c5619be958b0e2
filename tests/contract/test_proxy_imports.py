"""What the proxy may import: a cold start pays for every module."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "NAVPLANE_MODE": "aws",
    "DATABASE_HOST": "127.0.0.1",
    "DATABASE_USER": "navplane_gate",
    "DATABASE_AUTH": "iam",
    "KEK_PROVIDER": "local",
    "ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
    "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/usage",
}
# Powertools imports botocore's bare package, which is a few lines; what costs is what lies below it.
FORBIDDEN = (
    "fastapi", "starlette", "pydantic", "mangum", "boto3", "botocore.session", "botocore.client", "pg8000", "httpx2", "httpx",
    "jwt", "aws_xray_sdk", "moto", "uvicorn", "genai_prices", "yaml", "navplane.store", "navplane.admin", "navplane.ingest",
)  # fmt: skip


def modules_after(statement: str, **changes: str) -> set[str]:
    script = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT, **changes}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def found(modules: set[str]) -> list[str]:
    return [name for name in FORBIDDEN if name in modules or any(module.startswith(f"{name}.") for module in modules)]


def test_importing_the_proxy_loads_nothing_that_it_does_not_need_at_once() -> None:
    modules = modules_after("import functions.proxy.handler")
    assert "navplane.gateway.app" in modules
    assert "aiohttp" in modules
    assert found(modules) == []


def test_proxy_with_a_kms_key_loads_no_more() -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
    assert found(modules_after("import functions.proxy.handler", KEK_PROVIDER="aws_kms", KMS_KEY_ID=arn)) == []


def test_forbidden_modules_are_found_where_they_are_loaded() -> None:
    assert "fastapi" in found(modules_after("import functions.proxy.handler, fastapi"))
    assert "pg8000" in found(modules_after("import functions.proxy.handler, navplane.gate.gate_postgres"))
