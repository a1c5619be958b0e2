"""What the local cloud keeps between two runs: keys, passwords, undelivered messages. One run at a time."""

import base64
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Self

from navplane.store.bootstrap import LOGIN_ROLES


class AlreadyUp(RuntimeError):
    """Another NavPlane runs on this state."""


class StateDamaged(RuntimeError):
    """A file that we keep can't be read."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} can't be read. Put it back, or wipe everything with `make reset`.")


@dataclass(slots=True)
class Secrets:
    """`passwords` are by database role. The demo organization's id and key are empty until it exists."""

    passwords: dict[str, str] = field(default_factory=dict)
    demo_org_id: str = ""
    demo_api_key: str = ""


class StateDirectory:
    """A directory of our own (0700). `take` it before anything else; `release` it at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def issuer_key(self) -> Path:
        return self.path / "issuer.pem"

    @property
    def dev_env(self) -> Path:
        return self.path / "dev.env"

    @property
    def undelivered(self) -> Path:
        return self.path / "undelivered"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def take(self) -> Self:
        """Raise AlreadyUp, naming who has it. The lock goes with the process, however that ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        # Postgres may run as a user of its own, who must get through to its data; what is secret is 0600 by itself.
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for directory in (self.undelivered, self.mail, self.logs):
            directory.mkdir(exist_ok=True, mode=0o700)
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise AlreadyUp(f"NavPlane already runs on {self.path} (process {owner}). Stop that one first.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        return self

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def kek(self) -> str:
        """The 32-byte key-encryption key, base64; made at the first start."""
        path = self.path / "kek.key"
        if not path.exists():
            write_private(path, base64.b64encode(secrets.token_bytes(32)).decode())
        return path.read_text().strip()

    def secrets(self) -> Secrets:
        path = self.path / "secrets.json"
        try:
            kept = Secrets(**json.loads(path.read_text())) if path.exists() else Secrets()
        except (ValueError, TypeError) as exc:
            raise StateDamaged(path) from exc
        missing = [role for role in LOGIN_ROLES if role not in kept.passwords]
        if missing:
            kept.passwords |= {role: secrets.token_urlsafe(24) for role in missing}
            self.keep(kept)
        return kept

    def keep(self, kept: Secrets) -> None:
        write_private(self.path / "secrets.json", json.dumps(asdict(kept), indent=1))


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner only."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    aside.replace(path)
