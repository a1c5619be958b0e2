"""Ends what a killed run left of its Postgres: only processes that are proven to be a postgres on this data directory."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.02


def end_orphans(data: Path) -> None:
    """Stop every server process on `data`, politely first, and remove its lock file. The caller holds the owner's lock, so
    nobody else is using them. Raise RuntimeError if one survives."""
    for number, patience in ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        _signal_all(data, number)
        if _gone_within(data, patience):
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
    raise RuntimeError(f"a Postgres server of an earlier run still uses {data} and can't be stopped")


def _signal_all(data: Path, number: signal.Signals) -> None:
    for pid in servers_on(data):
        try:
            # Through a pidfd the process that is checked is the process that is signalled, even if its id is reused.
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if _is_server_on(pid, data):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def _gone_within(data: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(servers_on(data)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def servers_on(data: Path) -> Iterator[int]:
    """The ids of all server processes of the cluster in `data`."""
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and _is_server_on(int(entry), data):
            yield int(entry)


def _is_server_on(pid: int, data: Path) -> bool:
    try:
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        return Path(program).name == "postgres" and os.readlink(f"/proc/{pid}/cwd") == str(data)
    except OSError:
        return False
