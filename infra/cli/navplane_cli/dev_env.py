"""`dev.env`: how to reach the NavPlane that runs on this machine, for shells, tests and tools."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from navplane_local.state import write_private

# What a shell takes as it is on the right of an assignment; such values stay bare, for readers that know no quotes.
BARE = re.compile(r"[\w@%+=:,./?~-]*", re.ASCII)


def write(path: Path, values: Mapping[str, str]) -> None:
    lines = (f"{name}={value if BARE.fullmatch(value) else shlex.quote(value)}\n" for name, value in values.items())
    write_private(path, "".join(lines))
