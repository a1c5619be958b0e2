"""What is measured: a direct call, `navplane serve`, and LiteLLM, each a process of its own, pinned to its core.

NavPlane authenticates, admits in Postgres (durable, synchronous_commit on), opens a sealed key, meters and queues its events in
Postgres; the replica that writes them down has the other core, as has Postgres. LiteLLM checks its master key and has no
database, which is in its favour. It is installed by this file, into a virtual environment of its own.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import uvicorn
from navplane_local.issuer import Issuer
from navplane_local.postgres import EmbeddedPostgres

LOAD_CORE, PROXY_CORE = "0", "1"
LITELLM = "litellm[proxy]==1.106.2"
LITELLM_KEY = "sk-bench-master"
READY_SECONDS = 120
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    name: str
    port: int
    pid: int
    headers: dict[str, str]

    def memory_mb(self) -> float:
        """Proportional set size of the process and its children."""
        process = psutil.Process(self.pid)
        family = [process, *process.children(recursive=True)]
        return sum(float(member.memory_full_info().pss) for member in family) / 2**20


@contextlib.contextmanager
def provider(directory: Path) -> Iterator[Contender]:
    port_file = directory / "provider.port"
    with running([sys.executable, "-m", "tests.bench.upstream", str(port_file)], core=LOAD_CORE) as process:
        wait_until(port_file.exists, process)
        yield Contender(name="direct", port=int(port_file.read_text()), pid=process.pid, headers={})


@contextlib.contextmanager
def navplane(directory: Path, provider_port: int) -> Iterator[Contender]:
    with pinned(LOAD_CORE), EmbeddedPostgres(directory / "postgres") as postgres, issuer(directory) as signer:
        postgres.ensure_database("navplane")
        environment = {
            "NAVPLANE_MODE": "local",
            "NAVPLANE_UPSTREAM_OVERRIDE_OPENAI": f"http://127.0.0.1:{provider_port}",
            "NAVPLANE_DATABASE_URL": postgres.database_url(password=postgres.superuser_password),
            "KEK_PROVIDER": "local",
            "ENCRYPTION_KEY": b64encode(secrets.token_bytes(32)).decode(),
            "OIDC_ISSUER": signer.url,
            "OIDC_AUDIENCE": "navplane",
            "PLATFORM_ADMIN_SUBJECTS": "bench",
        }
        port, writer_port = free_port(), free_port()
        command = [str(Path(sys.executable).with_name("navplane")), "serve", "--port"]
        # The replica that writes the events down is not what is measured: on AWS it is a function of its own.
        with (
            running([*command, str(writer_port)], core=LOAD_CORE, environment=environment) as writer,
            running([*command, str(port), "--no-jobs"], core=PROXY_CORE, environment=environment) as process,
        ):
            wait_until(lambda: answers(writer_port, "/health"), writer)
            wait_until(lambda: answers(port, "/health"), process)
            key = new_organization(port, signer.mint("bench"))
            yield Contender(name="navplane", port=port, pid=process.pid, headers={"authorization": f"Bearer {key}"})


def new_organization(port: int, token: str) -> str:
    """An organization with a provider key; its np_ key."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}) as admin:
        made = admin.post("/admin/orgs", json={"name": "Bench"}).raise_for_status().json()
        key = {"provider": "openai", "label": "bench", "api_key": "sk-bench"}
        admin.post(f"/admin/orgs/{made['id']}/provider-keys", json=key).raise_for_status()
        return str(made["api_key"])


@contextlib.contextmanager
def issuer(directory: Path) -> Iterator[Issuer]:
    port = free_port()
    signer = Issuer.from_file(directory / "issuer.pem", url=f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(signer, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield signer
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def litellm(directory: Path, provider_port: int) -> Iterator[Contender]:
    port, config = free_port(), directory / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        "  - model_name: gpt-bench\n"
        f"    litellm_params: {{model: openai/gpt-bench, api_base: 'http://127.0.0.1:{provider_port}/v1', api_key: sk-bench}}\n"
        f"general_settings: {{master_key: {LITELLM_KEY}}}\n"
    )
    command = [
        str(install_litellm()),
        "--config",
        str(config),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--telemetry",
        "False",
    ]
    # Its offline price list and its production mode: nothing is fetched, and no .env file is read.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
    with running(command, core=PROXY_CORE, environment=environment) as process:
        wait_until(lambda: answers(port, "/health/liveliness"), process)
        yield Contender(name="litellm", port=port, pid=process.pid, headers={"authorization": f"Bearer {LITELLM_KEY}"})


def install_litellm() -> Path:
    """LiteLLM's command, in .build/bench-litellm, which is made when there is none."""
    home = ROOT / ".build" / "bench-litellm"
    command, uv = home / "bin" / "litellm", ROOT / ".venv-uv" / "bin" / "uv"
    if not command.exists():
        print(f"installing {LITELLM}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", home / "bin" / "python", LITELLM], check=True)
    return command


@contextlib.contextmanager
def running(
    command: list[str], *, core: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    log = subprocess.DEVNULL
    process = subprocess.Popen(
        ["taskset", "-c", core, *command], cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def pinned(core: str) -> Iterator[None]:
    """What is started inside inherits the core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(core)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise SystemExit(f"{process.args!r} did not get ready")
        time.sleep(0.05)


def answers(port: int, path: str) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
