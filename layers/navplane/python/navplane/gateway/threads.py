"""Threads for what blocks, of their own for each dependency: a slow queue or KEK never holds up an admission."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

GATE_THREADS = 8
LOG_THREADS = 8
KEY_THREADS = 4
Answer = TypeVar("Answer")


class Threads:
    def __init__(self) -> None:
        self.gate = ThreadPoolExecutor(GATE_THREADS, thread_name_prefix="navplane-gate")
        self.log = ThreadPoolExecutor(LOG_THREADS, thread_name_prefix="navplane-log")
        self.keys = ThreadPoolExecutor(KEY_THREADS, thread_name_prefix="navplane-key")

    def shutdown(self) -> None:
        for threads in (self.gate, self.log, self.keys):
            threads.shutdown(wait=True)


async def run_in(threads: ThreadPoolExecutor, ask: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, ask)
