"""What AWS's managed Python runtime has and nothing else: an interpreter, awslambdaric and boto3, and a bootstrap.

A function that runs on it finds its third-party packages in its layers, or not at all. The packages are those of the lock,
linked from the development environment, so nothing is downloaded.
"""

import fcntl
import hashlib
import re
import shutil
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

PACKAGES = ("awslambdaric", "boto3")
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")

# The order of AWS's own: the function's code, the layers, then what comes with the runtime.
BOOTSTRAP_PY = """\
import os, sys

sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], os.environ["NAVPLANE_OPT"] + "/python"]

from awslambdaric.__main__ import main

main(["bootstrap", os.environ["_HANDLER"]])
"""
BOOTSTRAP = """\
#!/bin/bash
folder="$(cd -- "${BASH_SOURCE[0]%/*}" && pwd)"
exec ${AWS_LAMBDA_EXEC_WRAPPER:-} "$folder/bin/python" "$folder/bootstrap.py"
"""


def prepare(folder: Path) -> Path:
    """Make the runtime in `folder`, unless it is there and as it should be; return its bootstrap. The bootstrap wants
    LAMBDA_TASK_ROOT, _HANDLER and NAVPLANE_OPT, the folder that stands for /opt."""
    distributions = list(closure(PACKAGES))
    digest = fingerprint(distributions)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "fingerprint"
        if not made.exists() or made.read_text() != digest:
            _make(folder, distributions)
            made.write_text(digest)
    return folder / "bootstrap"


def closure(names: tuple[str, ...]) -> Iterator[Distribution]:
    """The distributions of these names and of all that they need, extras aside."""
    pending, seen = list(names), set[str]()
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        for requirement in found.requires or []:
            match = REQUIREMENT.match(requirement)
            if match and "extra ==" not in requirement:
                pending.append(match[0])


def fingerprint(distributions: list[Distribution]) -> str:
    packages = sorted(f"{found.name}=={found.version} {found.locate_file('')}" for found in distributions)
    parts = [sys.version, sys.base_prefix, BOOTSTRAP, BOOTSTRAP_PY, *packages]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _make(folder: Path, distributions: list[Distribution]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True, with_pip=False)
    (site_packages,) = folder.glob("lib/python3.*/site-packages")
    for found in distributions:
        for top in sorted({file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}):
            (site_packages / top).symlink_to(str(found.locate_file(top)))
    (folder / "bootstrap.py").write_text(BOOTSTRAP_PY)
    (folder / "bootstrap").write_text(BOOTSTRAP)
    (folder / "bootstrap").chmod(0o755)
