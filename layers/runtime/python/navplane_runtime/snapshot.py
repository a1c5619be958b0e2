"""SnapStart: what happens between the import of the app and its first invocation when the process is cloned from a snapshot.

Hooks are those that the app registered with `snapshot_restore_py`, the package of the managed runtime.
"""

import os
import random
import sys
from collections.abc import Callable
from typing import Any

from navplane_runtime.client import RuntimeAPI


def is_taken(initialization_type: str) -> bool:
    return initialization_type == "snap-start"


def before() -> None:
    """Run the app's hooks, last registered first. Whatever they raise is an init error."""
    for function, args, kwargs in reversed(_hooks("get_before_snapshot")):
        function(*args, **kwargs)


async def restored(api: RuntimeAPI) -> None:
    """Return in the restored process."""
    await api.restore_next()


def after() -> None:
    """Make this clone differ from its siblings, then run the app's hooks. Whatever they raise is a restore error."""
    random.seed()
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(os.urandom(32), 32.0)
    for function, args, kwargs in _hooks("get_after_restore"):
        function(*args, **kwargs)


def _hooks(registry: str) -> list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]]:
    # The app imported the package if it has hooks; importing it here would cost every start.
    package = sys.modules.get("snapshot_restore_py")
    return list(getattr(package, registry)()) if package else []
