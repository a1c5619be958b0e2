"""Rotations that die at a point: one process with everything imported, which forks a victim for each line it is told."""

import base64
import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from navplane.crypto.kek_local import LocalKek
from navplane.custody.rewrap import Rewrapper
from navplane.store import sealed_values
from navplane.store.database import Database, connector
from navplane.store.sealed_values import SealedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TornRewrapper(Rewrapper):
    """The mutant: it writes a value in two goes."""

    def write(self, row: SealedRow, sealed: bytes) -> bool:
        half = sealed[: len(sealed) // 2]
        for before, after in ((row, half), (replace(row, sealed=half), sealed)):
            with self.database.transaction() as db:
                exchanged = sealed_values.exchange(db, before, sealed=after, kek_id=self.new.kek_id)
            self.at(f"{row.table.name} row written")
        return exchanged


class Watched:
    """Writes the name of each point to `pipe`, and dies at the one whose turn it is (from 1; 0 never)."""

    def __init__(self, pipe: int, *, turn: int, kills: bool) -> None:
        self._pipe, self._turn, self._kills, self._passed = pipe, turn, kills, 0

    def at(self, point: str) -> None:
        os.write(self._pipe, f"{point}\n".encode())
        self._passed += 1
        if self._passed == self._turn:
            if self._kills:
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(9)


def database(where: dict[str, str]) -> Database:
    return Database(
        connector(
            host=where["DATABASE_HOST"], port=int(where["DATABASE_PORT"]), name=where["DATABASE_NAME"],
            user=where["DATABASE_USER"], password=lambda: where["DATABASE_PASSWORD"], tls=False, tls_ca_file=None,
        ),
        size=1,
    )  # fmt: skip


def victim(told: dict[str, Any], pipe: int) -> None:
    kind = TornRewrapper if told["torn"] else Rewrapper
    old, new = (LocalKek(base64.b64decode(told[name])) for name in ("old", "new"))
    watched = Watched(pipe, turn=told["turn"], kills=told["kills"])
    progress = kind(database=database(told["database"]), old=old, new=new, at=watched.at).run(now=lambda: datetime.now(UTC))
    os.write(pipe, f"={int(progress.finished)}\n".encode())


def main() -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                victim(json.loads(line), writing)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as said:
            points = said.read().split("\n")[:-1]
        os.waitpid(child, 0)
        finished = bool(points) and points[-1] == "=1"
        sys.stdout.write(json.dumps({"points": [p for p in points if p[0] != "="], "finished": finished}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
