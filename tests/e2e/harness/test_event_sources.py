"""Queues and schedules as what invokes a function; the queue is moto's SQS over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from navplane_local.emulation import AwsEmulation
from navplane_local.sqs_queue import SqsQueue

from tests.e2e.harness.small_cloud import SmallCloud, small_cloud


@asynccontextmanager
async def with_queues(*, return_seconds: int | None = None) -> AsyncIterator[tuple[SmallCloud, Mapping[str, SqsQueue]]]:
    aws = AwsEmulation()
    await asyncio.to_thread(aws.start)
    try:
        async with small_cloud() as cloud:
            queues = await asyncio.to_thread(aws.create_queues, cloud.harness.stack.queues)
            cloud.harness.start_sources(queues, return_seconds=return_seconds)
            yield cloud, queues
    finally:
        await asyncio.to_thread(aws.stop)


async def next_batch(cloud: SmallCloud) -> list[str]:
    """The bodies of the next batch, which the function may now finish."""
    talk = await cloud.sink.next()
    records = (await talk.hear())["records"]
    assert all(record["eventSourceARN"].rpartition(":")[2].startswith("Queue-") for record in records)
    await talk.say("go on")
    return [record["body"] for record in records]


async def dead_letters(queues: Mapping[str, SqsQueue], count: int) -> set[str]:
    found: set[str] = set()
    async with asyncio.timeout(20):
        while len(found) < count:
            found |= {message.body for message in await asyncio.to_thread(queues["DeadLetters"].receive, 10)}
    return found


def test_messages_are_gathered_into_batches_up_to_their_size() -> None:
    async def scenario() -> None:
        async with with_queues() as (cloud, queues):
            for number in range(6):
                queues["Queue"].send(str(number))
            batches = [await next_batch(cloud), await next_batch(cloud)]
            assert sorted(map(len, batches)) == [2, 4]
            assert {body for batch in batches for body in batch} == set("012345")

    asyncio.run(scenario())


def test_only_what_the_function_reports_comes_back_and_ends_as_a_dead_letter() -> None:
    async def scenario() -> None:
        async with with_queues() as (cloud, queues):
            for body in ("good 1", "bad", "good 2"):
                queues["Queue"].send(body)
            assert set(await next_batch(cloud)) == {"good 1", "bad", "good 2"}
            assert await next_batch(cloud) == ["bad"]
            assert await dead_letters(queues, 1) == {"bad"}

    asyncio.run(scenario())


def test_whole_batch_comes_back_when_the_function_fails() -> None:
    async def scenario() -> None:
        async with with_queues(return_seconds=0) as (cloud, queues):
            for body in ("good", "raise"):
                queues["Queue"].send(body)
            assert set(await next_batch(cloud)) == {"good", "raise"}
            assert set(await next_batch(cloud)) == {"good", "raise"}
            assert await dead_letters(queues, 2) == {"good", "raise"}

    asyncio.run(scenario())


def test_draining_empties_the_queue() -> None:
    async def scenario() -> None:
        async with with_queues() as (cloud, queues):
            for number in range(9):
                queues["Queue"].send(str(number))
            draining = asyncio.create_task(cloud.harness.drain(seconds=20))
            seen: set[str] = set()
            while len(seen) < 9:
                seen |= set(await next_batch(cloud))
            await draining
            assert queues["Queue"].receive(10) == []

    asyncio.run(scenario())


def test_what_a_drain_could_not_deliver_is_visible_again_at_once() -> None:
    async def scenario() -> None:
        async with with_queues(return_seconds=600) as (cloud, queues):
            queues["Queue"].send("bad")
            await next_batch(cloud)
            await cloud.harness.drain(seconds=20)
            await cloud.harness.stop()
            assert [message.body for message in queues["Queue"].receive(10)] == ["bad"]

    asyncio.run(scenario())


def test_schedule_invokes_again_and_again() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            cloud.harness.start_schedules(seconds=0.05)
            for _ in range(2):
                talk = await cloud.sink.next()
                tick = (await talk.hear())["tick"]
                assert tick["detail-type"] == "Scheduled Event"
                assert tick["resources"][0].endswith("rule/Tick")
                await talk.say("go on")

    asyncio.run(scenario())
