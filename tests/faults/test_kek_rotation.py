"""The rotation of the KEK killed at every point: whatever is stored can be read, and the next run ends it.

Each run prints one JSON line. ROTATION_EXITS makes it longer.
"""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from navplane.crypto.kek import KekUnwrapper
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.kek_ring import KekRing
from navplane.errors import DecryptionError

from tests.support.postgres import TestDatabase
from tests.support.sealed_seed import Vault, kek_ids_agree

EXITS = int(os.environ.get("ROTATION_EXITS", "40"))
PROVIDER_KEYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`unreadable`: after how many exits something did not open, or not to what it was; `unfinished`: how many next runs did
    not end the rotation."""

    harness: str
    rewrapper: str
    exits: int
    kills: int
    points: int
    unreadable: int
    unfinished: int
    seconds: float


class Victims:
    """Rotations in processes of their own."""

    def __init__(self, database: TestDatabase, *, torn: bool) -> None:
        self._told = {"database": database.settings("navplane_rewrap"), "torn": torn}
        command = [sys.executable, "-m", "tests.faults.rewrap_victims"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, old: bytes, new: bytes, *, turn: int = 0, kills: bool = False) -> dict[str, Any]:
        keys = {"old": base64.b64encode(old).decode(), "new": base64.b64encode(new).decode()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**self._told, **keys, "turn": turn, "kills": kills}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def victims(databases: TestDatabase, request: pytest.FixtureRequest) -> Iterator[Victims]:
    started = Victims(databases, torn=getattr(request, "param", False))
    yield started
    started.close()


def readable(database: TestDatabase, vault: Vault, kek: KekUnwrapper) -> bool:
    with database.superuser() as db:
        try:
            return vault.opened(db, kek) == vault.payloads and kek_ids_agree(db)
        except DecryptionError:
            return False


def play(database: TestDatabase, victims: Victims, *, exits: int, name: str) -> tuple[Report, set[str], set[str]]:
    """The report, all points of a whole run, and those at which a run ended. Each rotation goes on from the KEK of the last."""
    vault, key, started = Vault(), os.urandom(32), time.monotonic()
    with database.superuser() as db:
        vault.fill(db, LocalKek(key), provider_keys=PROVIDER_KEYS)
    whole, new = [], os.urandom(32)
    whole = victims.run(key, new)["points"]
    key, ended, unreadable, unfinished = new, set(), 0, 0
    for number in range(exits):
        new = os.urandom(32)
        dying = victims.run(key, new, turn=number % len(whole) + 1, kills=number % 2 == 1)
        assert not dying["finished"]
        ended.add(dying["points"][-1])
        unreadable += not readable(database, vault, KekRing(current=LocalKek(key), successor=LocalKek(new)))
        unfinished += not victims.run(key, new)["finished"]
        unreadable += not readable(database, vault, LocalKek(new))
        key = new
        if unreadable:
            break
    report = Report(
        harness="kek_rotation", rewrapper=name, exits=number + 1, kills=(number + 1) // 2, points=len(set(whole)),
        unreadable=unreadable, unfinished=unfinished, seconds=round(time.monotonic() - started, 2),
    )  # fmt: skip
    print(json.dumps(asdict(report)))
    return report, set(whole), ended


def test_whatever_point_a_rotation_dies_at_everything_can_be_read_and_the_next_run_ends_it(
    databases: TestDatabase, victims: Victims
) -> None:
    report, points, ended = play(databases, victims, exits=EXITS, name="sound")
    assert (report.unreadable, report.unfinished) == (0, 0), report
    assert report.exits == EXITS
    assert ended == points, "every labelled point must have been died at"


@pytest.mark.parametrize("victims", [True], indirect=True)
def test_a_rotation_that_writes_in_two_goes_is_caught(databases: TestDatabase, victims: Victims) -> None:
    report, _, _ = play(databases, victims, exits=EXITS, name="torn_write")
    assert report.unreadable > 0
