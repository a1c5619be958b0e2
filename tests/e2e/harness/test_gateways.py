"""What a request becomes on its way to a function, and what its answer becomes on the way back."""

import asyncio
import base64
import json

import httpx2
import pytest
from navplane_local.http_request import EVENT_LIMIT

from tests.e2e.harness.small_cloud import SmallCloud, small_cloud


async def stream_event(cloud: SmallCloud, request: httpx2.Request) -> dict[str, object]:
    """The event that the streaming function gets for `request`."""
    call = asyncio.create_task(cloud.client.send(request))
    talk = await cloud.sink.next()
    heard = await talk.hear()
    await talk.say("end")
    assert (await call).status_code == 200
    event: dict[str, object] = heard["event"]
    return event | {"decoded": heard["body"]}


def test_function_url_passes_path_and_query_as_they_were_sent() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            headers = [("X-Two", "1"), ("x-two", "2"), ("Cookie", "a=1; b=2"), ("Content-Type", "application/json")]
            url = cloud.function_url + "/v1/a%2Fb?q=%20x&q=2&empty"
            request = cloud.client.build_request("POST", url, content=b"{}", headers=headers)
            event = await stream_event(cloud, request)
            assert event["version"] == "2.0"
            assert event["rawPath"] == "/v1/a%2Fb"
            assert event["rawQueryString"] == "q=%20x&q=2&empty"
            assert event["queryStringParameters"] == {"q": " x,2", "empty": ""}
            assert event["cookies"] == ["a=1", "b=2"]
            received = event["headers"]
            assert isinstance(received, dict)
            assert received["x-two"] == "1,2"
            assert "cookie" not in received
            assert (event["body"], event["isBase64Encoded"]) == ("{}", False)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("content_type", "content", "encoded"),
    [
        ("application/octet-stream", b"text", True),
        ("application/json", b"{}", False),
        ("application/json", b"\xff", True),
        ("text/plain; charset=utf-8", "ä".encode(), False),
    ],
)
def test_body_that_is_not_text_comes_as_base64(content_type: str, content: bytes, encoded: bool) -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            url = cloud.api_url + "/things/1"
            event = (await cloud.client.put(url, content=content, headers={"content-type": content_type})).json()
            assert event["isBase64Encoded"] is encoded
            assert event["body"] == (base64.b64encode(content).decode() if encoded else content.decode())

    asyncio.run(scenario())


def test_rest_event_has_decoded_path_and_every_value() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            request = cloud.client.build_request(
                "POST",
                cloud.rest_url + "/live/v1/a%20b?q=%26&q=2",
                content=b"\x01",
                headers=[("X-Two", "1"), ("X-Two", "2"), ("Content-Type", "application/octet-stream")],
            )
            event = await stream_event(cloud, request)
            assert (event["resource"], event["path"]) == ("/{proxy+}", "/v1/a b")
            assert event["pathParameters"] == {"proxy": "v1/a b"}
            assert event["multiValueQueryStringParameters"] == {"q": ["&", "2"]}
            multiple = event["multiValueHeaders"]
            assert isinstance(multiple, dict)
            assert multiple["x-two"] == ["1", "2"]
            assert (event["body"], event["isBase64Encoded"]) == (base64.b64encode(b"\x01").decode(), True)

    asyncio.run(scenario())


def test_rest_answer_is_streamed() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud, cloud.client.stream("GET", cloud.rest_url + "/live/x") as response:
            talk = await cloud.sink.next()
            chunks = response.aiter_raw()
            for text in ("one", "two"):
                await talk.say(f"chunk {text}")
                assert await anext(chunks) == text.encode()
            await talk.say("end")
            assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]

    asyncio.run(scenario())


def test_rest_api_knows_only_its_stage() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            assert (await cloud.client.get(cloud.rest_url + "/other/x")).status_code == 403
            buffered = await cloud.client.post(cloud.rest_url + "/live/buffered", json={})
            assert buffered.json()["resource"] == "/buffered"

    asyncio.run(scenario())


def test_http_api_names_the_route_and_decodes_its_parameters() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            response = await cloud.client.put(cloud.api_url + "/things/a%2Fb?x=1", json={"n": 1})
            assert response.status_code == 201
            assert response.headers["x-function"] == "EchoFunction"
            assert response.headers["set-cookie"] == "a=1"
            event = response.json()
            assert event["routeKey"] == "PUT /things/{thing_id}"
            assert event["pathParameters"] == {"thing_id": "a/b"}
            assert event["rawPath"] == "/things/a%2Fb"
            assert event["requestContext"]["http"]["method"] == "PUT"
            assert json.loads(event["body"]) == {"n": 1}
            other = (await cloud.client.get(cloud.api_url + "/things/a/b")).json()
            assert other["routeKey"] == "ANY /things/{proxy+}"
            assert (await cloud.client.get(cloud.api_url + "/nothing")).json() == {"message": "Not Found"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "status"), [("/crash/raise", 502), ("/crash/exit", 502), ("/crash/hang", 504), ("/broken", 502)]
)
def test_function_that_fails_is_the_gateways_fault_and_the_next_call_is_served(path: str, status: int) -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            assert (await cloud.client.get(cloud.api_url + path)).status_code == status
            assert (await cloud.client.get(cloud.api_url + "/crash/not")).status_code == 200

    asyncio.run(scenario())


def test_reason_of_a_failed_start_is_in_the_log() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            await cloud.client.get(cloud.api_url + "/broken")
            assert any(line.startswith("broken: ") and "can't be imported" in line for line in cloud.log)

    asyncio.run(scenario())


def test_request_that_does_not_fit_into_an_event_is_413() -> None:
    async def scenario() -> None:
        async with small_cloud() as cloud:
            for url in (cloud.function_url + "/x", cloud.api_url + "/things/1", cloud.rest_url + "/live/buffered"):
                response = await cloud.client.request("PUT" if "things" in url else "POST", url, content=b"x" * EVENT_LIMIT)
                assert response.status_code == 413

    asyncio.run(scenario())
