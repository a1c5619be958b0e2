"""A NavPlane of the demo's own: `navplane up` as a child process, in a temporary directory that goes when it ends."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from navplane_local import tethered

START_SECONDS = 120.0
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1


class DemoFailed(Exception):
    """The NavPlane for the demo did not start; the message ends with what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCloud:
    base_url: str
    api_key: str = field(repr=False)
    admin_url: str
    admin_token: str = field(repr=False)

    @classmethod
    def from_file(cls, path: Path) -> "DemoCloud":
        """Read the `dev.env` that a running NavPlane has written."""
        lines = (line.removeprefix("export ").partition("=") for line in path.read_text().splitlines() if "=" in line)
        values = {name: "".join(shlex.split(value)) for name, _, value in lines}
        return cls(
            base_url=values["NAVPLANE_BASE_URL"],
            api_key=values["NAVPLANE_API_KEY"],
            admin_url=values["NAVPLANE_ADMIN_URL"],
            admin_token=values["NAVPLANE_ADMIN_TOKEN"],
        )


@contextmanager
def demo_cloud() -> Iterator[DemoCloud]:
    """Start it, and stop and wipe it at the end. Raise DemoFailed when it does not start."""
    with tempfile.TemporaryDirectory(prefix="navplane-demo-") as directory:
        state = Path(directory) / "state"
        # Its own in everything: a database or an override that is meant for another NavPlane is not for this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NAVPLANE_")}
        environment |= {"NAVPLANE_STATE_DIR": str(state), "NAVPLANE_PORT": "0"}
        log = Path(directory) / "up.log"
        process = _navplane("up", environment, log)
        try:
            yield _ready(process, state / "dev.env", log)
        finally:
            process.send_signal(signal.SIGINT)
            _wait(process)
            _wait(_navplane("reset", environment, log))


def _navplane(command: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches the demo alone, which stops everything in order; the tether sees to it
    that nothing outlives a demo that is killed."""
    tether = [sys.executable, "-I", "-S", tethered.__file__, str(os.getpid()), str(int(signal.SIGINT)), "-"]
    arguments = [*tether, sys.executable, "-m", "navplane_cli.main", command]
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _ready(process: subprocess.Popen[bytes], dev_env: Path, log: Path) -> DemoCloud:
    deadline = time.monotonic() + START_SECONDS
    while not dev_env.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DemoFailed(f"NavPlane did not start:\n{log.read_text()[-4000:]}")
        time.sleep(_POLL_SECONDS)
    return DemoCloud.from_file(dev_env)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
