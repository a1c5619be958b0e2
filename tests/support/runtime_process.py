"""A function under the real exec wrapper, in a process of its own, the way the managed runtime starts it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

WRAPPER = Path(__file__).parents[2] / "layers" / "runtime" / "navplane-runtime"


@asynccontextmanager
async def function_process(
    address: str, folder: Path, code: str, *, handler: str = "handler.app", env: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """`code` is the function's handler.py. Standard output is a pipe; the process is killed at the end."""
    (folder / "handler.py").write_text(code)
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": address,
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": handler,
        **(env or {}),
    }
    # -S keeps site-packages away: the runtime must do with the standard library.
    command = (str(WRAPPER), sys.executable, "-S", "/var/runtime/bootstrap.py")
    process = await asyncio.create_subprocess_exec(*command, env=variables, cwd=folder, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
