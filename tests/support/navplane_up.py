"""`navplane up` as a newcomer runs it: a process of its own, known by its output and its dev.env."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

START_SECONDS = 120.0
POLL_SECONDS = 0.05


class Up:
    """A running one. `values` are those of its dev.env."""

    def __init__(self, process: subprocess.Popen[bytes], state_dir: Path, output: Path) -> None:
        self.process, self.state_dir, self._output = process, state_dir, output
        self.values = self._wait_until_ready()

    @property
    def output(self) -> str:
        return self._output.read_text()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)

    def call(self) -> str:
        """A streamed call of the demo organization; returns its request id."""
        response = httpx2.post(
            f"{self.values['NAVPLANE_BASE_URL']}/v1/chat/completions",
            json={"model": "demo", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
            headers={"Authorization": f"Bearer {self.values['NAVPLANE_API_KEY']}"},
            trust_env=False,
            timeout=30,
        )
        response.raise_for_status()
        return response.headers["x-navplane-request-id"]

    def admin(self, path: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"Bearer {self.values['NAVPLANE_ADMIN_TOKEN']}"}
        url = self.values["NAVPLANE_ADMIN_URL"] + path
        response = httpx2.request(method, url, headers=headers, trust_env=False, timeout=30)
        return response.raise_for_status().json()

    def rows(self) -> list[str]:
        """The request ids of the demo organization, newest first."""
        (demo,) = self.admin("/orgs")["items"]
        return [row["request_id"] for row in self.admin(f"/orgs/{demo['id']}/requests?limit=100")["items"]]

    def _wait_until_ready(self) -> dict[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while "NavPlane is ready" not in self.output:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"navplane up did not start:\n{self.output}")
            time.sleep(POLL_SECONDS)
        lines = (self.state_dir / "dev.env").read_text().splitlines()
        return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def run(command: str, state_dir: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(command), env=_environment(state_dir, variables), capture_output=True, text=True, timeout=60)


@contextmanager
def running(state_dir: Path, **variables: str) -> Iterator[Up]:
    """Killed at the end if the test has not stopped it."""
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    output = state_dir.with_name(state_dir.name + ".output")
    with output.open("wb") as file:
        process = subprocess.Popen(
            _command("up"), env=_environment(state_dir, variables), stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield Up(process, state_dir, output)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def processes_of(state_dir: Path) -> set[str]:
    """The command lines of all processes that have to do with this state."""
    postgres = state_dir / "postgres"
    markers = {str(state_dir).encode(), bytes(postgres.readlink().parent if postgres.is_symlink() else postgres)}
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
            about = command + (entry / "environ").read_bytes()
        except OSError:
            continue
        if entry.name != str(os.getpid()) and any(marker in about for marker in markers):
            found.add(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "navplane_cli.main", name]


def _environment(state_dir: Path, variables: dict[str, str]) -> dict[str, str]:
    """PYTHONUNBUFFERED lets a test read the output of a process that still runs."""
    return os.environ | {"NAVPLANE_STATE_DIR": str(state_dir), "NAVPLANE_PORT": "0", "PYTHONUNBUFFERED": "1"} | variables
