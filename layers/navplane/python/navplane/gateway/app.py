"""The data plane as an ASGI 3 application: authenticate, admit, forward, relay, record. There is no other way in."""

import asyncio
import time
from collections.abc import Sequence

from navplane.crypto.api_key import ApiKeyShape, digest
from navplane.crypto.kek import KekUnwrapper
from navplane.crypto.kek_cache import CachingKek
from navplane.errors import NavPlaneError, UpstreamRedirected
from navplane.gate.gate import Gate
from navplane.gateway import objects, record
from navplane.gateway.admission import Admissions
from navplane.gateway.asgi import DEADLINE, Receive, Scope, Send
from navplane.gateway.authenticate import presented_key
from navplane.gateway.call import Call
from navplane.gateway.closing import Closing
from navplane.gateway.conclude import Conclusion
from navplane.gateway.content import Capture, DataModes
from navplane.gateway.fallback import Answered, Asked, Fallback
from navplane.gateway.headers import KeyFinder
from navplane.gateway.health import Readiness, answer_health
from navplane.gateway.intake import ClientLeft
from navplane.gateway.key_health import KeyHealth
from navplane.gateway.limits import DEFAULT_LIMITS, Limits
from navplane.gateway.menu import Menus, is_menu
from navplane.gateway.relay import relay
from navplane.gateway.reply import Reply
from navplane.gateway.route import find_route, guess_dialect
from navplane.gateway.threads import Threads
from navplane.gateway.understand import Understanding
from navplane.gateway.watch import OpenCalls, Watch
from navplane.model.tenancy import Region
from navplane.model.usage import Outcome
from navplane.queue.request_log import RequestLog
from navplane.telemetry import logger
from navplane.upstream.client import UpstreamClient


class Gateway:
    """`keys` is asked through a cache. Blocking dependencies have threads of their own each, so that a slow queue or KEK never
    holds up an admission."""

    def __init__(
        self,
        *,
        gate: Gate,
        keys: KekUnwrapper,
        upstream: UpstreamClient,
        request_log: RequestLog,
        region: Region,
        key_prefixes: Sequence[str],
        max_body_bytes: int,
        limits: Limits = DEFAULT_LIMITS,
        closing: Closing | None = None,
    ) -> None:
        """`closing`, where there is one, takes the place of settling and publishing apart."""
        self._upstream, self._region, self._limits = upstream, region, limits
        self._shape = ApiKeyShape(key_prefixes)
        self._threads, health, finder = Threads(), KeyHealth(), KeyFinder(key_prefixes)
        self._readiness = Readiness(gate, keys, request_log, threads=self._threads.gate)
        self._admissions = Admissions(gate, CachingKek(keys), health=health, threads=self._threads, limits=limits)
        self._understanding = Understanding(
            keys=finder, max_body_bytes=max_body_bytes, seconds=limits.request_body, plan_of=self._admissions.plan_of
        )
        self._fallback = Fallback(upstream, self._admissions, health=health, keys=finder, limits=limits)
        self._conclusion = Conclusion(gate, request_log, keys=finder, threads=self._threads, closing=closing)
        self._menus = Menus(gate, threads=self._threads, limits=limits)
        self._data_modes = DataModes(gate, threads=self._threads)
        self._open_calls = OpenCalls(
            self._admissions.standing,
            interval_seconds=limits.standing_interval,
            limit_seconds=limits.standing_limit,
            grace_seconds=limits.outage_grace,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["method"] == "GET" and scope["raw_path"] == b"/health":
            await answer_health(send)
        elif scope["type"] == "http" and scope["method"] == "GET" and scope["raw_path"] == b"/ready":
            await self._readiness.answer(send)
        elif scope["type"] == "http":
            await self._handle(scope, receive, send)

    # -- one request -----------------------------------------------------------------------------------------------------

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it, answer what went wrong, and in any case record it before returning."""
        call = self._new_call(scope)
        reply = Reply(send, call, drain=call.deadline is not None)
        try:
            await self._serve(call, scope, receive, reply)
        except ClientLeft:
            call.outcome = Outcome.ABORTED
        except NavPlaneError as error:
            await self._fail(call, reply, error)
        except asyncio.CancelledError:
            call.outcome = Outcome.TERMINATED
            raise
        except Exception as exc:
            record.log_bug(call, exc)
            await self._fail(call, reply, NavPlaneError("Something went wrong inside NavPlane. The request id finds it."))
        finally:
            call.ended = time.monotonic()
            await self._conclusion.conclude(call)

    async def _serve(self, call: Call, scope: Scope, receive: Receive, reply: Reply) -> None:
        """The path of a request."""
        call.route = find_route(scope["method"], scope["raw_path"], call.headers)
        call.dialect = call.route.dialect
        self._understanding.check(call, scope["query_string"])
        key = presented_key(call.headers, self._shape)
        if is_menu(call.route):
            return await self._menus.answer(call, digest(key), reply)
        body, request = await self._understanding.read(call, receive)
        granted = await self._admissions.admit(call, key_digest=digest(key), seconds_left=self._seconds_left(call))
        keeps_content = await self._data_modes.keeps(call)
        async with self._watch(call, receive) as watch:
            asked = Asked(query=scope["query_string"], body=body, request=request)
            answered = await self._fallback.until_answered(call, granted, asked)
            if keeps_content and body is not None:
                call.content = Capture(body, answered.secret)
            try:
                await self._relay(call, answered, reply, watch)
            finally:
                await answered.response.aclose()

    async def _relay(self, call: Call, answered: Answered, reply: Reply, watch: Watch) -> None:
        await relay(
            call,
            answered.response,
            reply,
            watch,
            secret=answered.secret,
            withhold=answered.withhold,
            bind=self._bind if objects.makes_objects(call) else None,
            max_bytes=self._limits.response_bytes,
        )

    async def _bind(self, call: Call, object_id: str) -> None:
        await self._admissions.bind(call, object_id, note=self._conclusion.note(call))

    def _watch(self, call: Call, receive: Receive) -> Watch:
        listening = receive if call.deadline is None else None
        seconds = self._seconds_left(call)
        return Watch(call, self._open_calls, receive=listening, wall_seconds=seconds, idle_seconds=self._limits.idle)

    async def _fail(self, call: Call, reply: Reply, error: NavPlaneError) -> None:
        call.error_code = error.code
        if isinstance(error, UpstreamRedirected):
            call.written = False
        if call.outcome is None:
            call.outcome = Outcome.FAILED if error.status >= 500 else Outcome.REFUSED
        try:
            async with asyncio.timeout(self._limits.last_words):
                await reply.fail(error)
        except (ClientLeft, TimeoutError):
            logger.debug("reply.unheard")

    # -- what the steps use ----------------------------------------------------------------------------------------------

    def _new_call(self, scope: Scope) -> Call:
        headers = tuple(scope["headers"])
        return Call(
            region=self._region,
            headers=headers,
            dialect=guess_dialect(scope["raw_path"], headers),
            started_at=record.now(),
            started=time.monotonic(),
            deadline=scope.get("extensions", {}).get(DEADLINE),
        )

    def _seconds_left(self, call: Call) -> float:
        if call.deadline is None:
            return self._limits.wall
        return max(0.0, call.deadline - self._limits.margin - time.monotonic())

    # -- the process -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        await self._upstream.aclose()
        self._threads.shutdown()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})
