"""The life of an execution environment."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness.small_cloud import WAIT_SECONDS, SmallCloud, small_cloud


async def call_once(cloud: SmallCloud) -> int:
    """The process id of the environment that served a call."""
    call = asyncio.create_task(cloud.client.get(cloud.function_url + "/x"))
    talk = await cloud.sink.next()
    pid: int = (await talk.hear())["pid"]
    await talk.say("end")
    assert (await call).status_code == 200
    await talk.say("go on")
    await cloud.harness.settled("StreamFunction")
    return pid


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what ends a process sets no event
            await asyncio.sleep(0.02)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def environment_names(pid: int) -> set[bytes]:
    return {entry.split(b"=")[0] for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if entry}


def test_idle_environment_is_used_again() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            assert await call_once(cloud) == await call_once(cloud)

    asyncio.run(scenario())


def test_environment_is_frozen_between_invocations_and_thawed_for_the_next() -> None:
    async def scenario() -> None:
        async with small_cloud(freezes=True) as cloud:
            pid = await call_once(cloud)
            await until(lambda: is_stopped(pid))
            assert await call_once(cloud) == pid

    asyncio.run(scenario())


def test_idle_environment_is_reaped() -> None:
    async def scenario() -> None:
        async with small_cloud(idle_seconds=0.1) as cloud:
            pid = await call_once(cloud)
            await until(lambda: not Path(f"/proc/{pid}").exists())
            assert cloud.harness.environments("StreamFunction") == []

    asyncio.run(scenario())


def test_killed_environment_is_replaced() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            pid = await call_once(cloud)
            (environment,) = cloud.harness.environments("StreamFunction")
            environment.kill()
            await until(lambda: not environment.alive)
            assert await call_once(cloud) != pid

    asyncio.run(scenario())


def test_function_sees_nothing_of_the_developers_environment() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            pid = await call_once(cloud)
            names = environment_names(pid)
            assert {b"_HANDLER", b"LAMBDA_TASK_ROOT", b"AWS_LAMBDA_RUNTIME_API", b"SINK"} <= names
            assert not names & {b"HOME", b"USER", b"PYTEST_CURRENT_TEST"}

    asyncio.run(scenario())
