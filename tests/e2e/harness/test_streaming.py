"""A streamed answer is on the wire while the function still makes it, and a broken one is seen to be broken."""

import asyncio

import httpx2
import pytest
from navplane_local.runtime_api import STREAMED_RESPONSE_LIMIT

from tests.e2e.harness.small_cloud import small_cloud

MORE_THAN_SOCKETS_HOLD = 32 * 1024 * 1024


def test_each_chunk_arrives_before_the_function_is_asked_for_the_next() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud, cloud.client.stream("GET", cloud.function_url + "/x") as response:
            talk = await cloud.sink.next()
            chunks = response.aiter_raw()
            for text in ("one", "two", "three"):
                await talk.say(f"chunk {text}")
                assert await anext(chunks) == text.encode()
            await talk.say("end")
            assert [chunk async for chunk in chunks] == []

    asyncio.run(scenario())


def test_head_arrives_before_any_chunk_with_cookies_apart() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud, cloud.client.stream("GET", cloud.function_url + "/x?status=418") as response:
            assert response.status_code == 418
            assert response.headers["x-one"] == "1"
            assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
            assert "server" not in response.headers
            await (await cloud.sink.next()).say("end")

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_answer_that_breaks_off_cuts_the_connection(how: str) -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud, cloud.client.stream("GET", cloud.function_url + "/x") as response:
            talk = await cloud.sink.next()
            await talk.say("chunk one")
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"one"
            await talk.say(how)
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(chunks)

    asyncio.run(scenario())


def test_stream_that_does_not_end_by_its_deadline_is_cut() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud, cloud.client.stream("GET", cloud.function_url + "/x") as response:
            talk = await cloud.sink.next()
            await talk.say("hang")
            with pytest.raises(httpx2.RemoteProtocolError):
                await response.aread()

    asyncio.run(scenario())


def test_function_is_not_told_that_its_client_left() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            async with cloud.client.stream("GET", cloud.function_url + "/x") as response:
                talk = await cloud.sink.next()
                await talk.hear()
                await talk.say("chunk one")
                assert await anext(response.aiter_raw()) == b"one"
            assert (await talk.hear())["did"] == "chunk"
            for _ in range(3):
                await talk.say("large 100000")
                assert (await talk.hear())["did"] == "large"
            await talk.say("end")
            assert (await talk.hear())["finished"]

    asyncio.run(scenario())


def test_answer_over_the_limit_is_refused_early_and_the_function_lives_on() -> None:
    async def scenario() -> None:
        # 200 MB take a busy machine a while.
        async with small_cloud(stream_seconds=40) as cloud:
            async with cloud.client.stream("GET", cloud.function_url + "/x") as response:
                talk = await cloud.sink.next()
                pid = (await talk.hear())["pid"]
                # More than the sockets on the way hold, so that the app is still sending when it is refused.
                await talk.say(f"large {STREAMED_RESPONSE_LIMIT + MORE_THAN_SOCKETS_HOLD}")
                with pytest.raises(httpx2.RemoteProtocolError):
                    async for _ in response.aiter_raw():
                        pass
            await cloud.harness.settled("StreamFunction")
            call = asyncio.create_task(cloud.client.get(cloud.function_url + "/x"))
            talk = await cloud.sink.next()
            assert (await talk.hear())["pid"] == pid
            await talk.say("end")
            assert (await call).status_code == 200

    asyncio.run(scenario())


def test_environment_is_free_only_after_the_work_behind_the_last_byte() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            talks = []
            for _ in range(2):
                call = asyncio.create_task(cloud.client.get(cloud.function_url + "/x"))
                talk = await cloud.sink.next()
                await talk.say("end")
                assert (await call).status_code == 200
                talks.append(talk)
            assert (await cloud.client.get(cloud.function_url + "/x")).status_code == 429
            for talk in talks:
                await talk.say("go on")
            await cloud.harness.settled("StreamFunction")
            call = asyncio.create_task(cloud.client.get(cloud.function_url + "/x"))
            await (await cloud.sink.next()).say("end")
            assert (await call).status_code == 200

    asyncio.run(scenario())
