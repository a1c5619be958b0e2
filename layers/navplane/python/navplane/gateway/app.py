"""The data plane as an ASGI 3 application: authenticate, admit, forward, relay, record. There is no other way in."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from navplane.crypto.api_key import ApiKeyShape, digest
from navplane.crypto.kek import KekUnwrapper
from navplane.crypto.kek_cache import CachingKek
from navplane.errors import (
    AmbiguousModel,
    BadFraming,
    BadQuery,
    DependencyUnavailable,
    NavPlaneError,
    OutcomeUnknown,
    UpstreamRedirected,
)
from navplane.gate.gate import Admission, Ask, Caller, Gate, Refusal, RefusalReason
from navplane.gateway import background, forward, objects, record
from navplane.gateway.admit import ask_of, error_of, refused
from navplane.gateway.asgi import DEADLINE, RawHeaders, Receive, Scope, Send
from navplane.gateway.attributes import attributes_of
from navplane.gateway.authenticate import presented_key
from navplane.gateway.body import ModelCall, parse
from navplane.gateway.bounds import worst_of
from navplane.gateway.call import Call
from navplane.gateway.content import Capture, DataModes, is_keepable
from navplane.gateway.headers import KeyFinder
from navplane.gateway.health import Readiness, answer_health
from navplane.gateway.intake import ClientLeft, check_headers, check_media_type, read_body
from navplane.gateway.limits import DEFAULT_LIMITS, Limits
from navplane.gateway.multipart import read_form
from navplane.gateway.relay import relay
from navplane.gateway.reply import Reply
from navplane.gateway.route import check_query, find_route, guess_dialect
from navplane.gateway.units import units_of
from navplane.gateway.watch import OpenCalls, Watch
from navplane.model.provider_key import Secret
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint, Outcome
from navplane.model.usage_event import UsageEvent
from navplane.queue.request_log import RequestLog
from navplane.telemetry import logger
from navplane.upstream.client import UpstreamClient
from navplane.upstream.provider import PROVIDERS, serving

GATE_THREADS = 8
LOG_THREADS = 8
KEY_THREADS = 4
# How long a call waits to hear whether it is to be kept; it isn't if that takes longer.
CONTENT_SECONDS = 0.25
LARGE_BODY_BYTES = 256 * 1024
Answer = TypeVar("Answer")


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
    ) -> None:
        self._gate, self._keys, self._upstream, self._request_log = gate, CachingKek(keys), upstream, request_log
        self._region, self._limits = region, limits
        self._max_body_bytes = max_body_bytes
        self._shape, self._key_finder = ApiKeyShape(key_prefixes), KeyFinder(key_prefixes)
        self._gate_threads = ThreadPoolExecutor(GATE_THREADS, thread_name_prefix="navplane-gate")
        self._log_threads = ThreadPoolExecutor(LOG_THREADS, thread_name_prefix="navplane-log")
        self._key_threads = ThreadPoolExecutor(KEY_THREADS, thread_name_prefix="navplane-key")
        self._readiness = Readiness(gate, keys, request_log, threads=self._gate_threads)
        self._data_modes = DataModes(gate)
        self._open_calls = OpenCalls(
            self._ask_standing,
            interval_seconds=self._limits.standing_interval,
            limit_seconds=self._limits.standing_limit,
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
            await self._conclude(call)

    async def _serve(self, call: Call, scope: Scope, receive: Receive, reply: Reply) -> None:
        """The path of a request."""
        call.route = find_route(scope["method"], scope["raw_path"], call.headers)
        call.dialect = call.route.dialect
        self._check(call, scope["query_string"])
        key = presented_key(call.headers, self._shape)
        body, request = await self._read(call, receive)

        admission, secret = await self._admit(call, key)
        await self._keep_content(call, body, secret)
        body, withhold = forward.shape_body(call, body, request, admission.stream_usage)

        async with self._watch(call, receive) as watch:
            upstream_request = forward.build_request(
                call,
                origins=self._upstream.origins,
                query=scope["query_string"],
                body=body,
                secret=secret,
                keys=self._key_finder,
                first_byte_seconds=self._limits.first_byte_streamed if call.stream else self._limits.first_byte,
                before_writing=lambda: self._confirm(call),
            )
            response = await forward.send(call, self._upstream, upstream_request)
            try:
                max_bytes = self._limits.response_bytes
                bind = self._bind if objects.makes_objects(call) else None
                await relay(call, response, reply, watch, secret=secret, withhold=withhold, bind=bind, max_bytes=max_bytes)
            finally:
                await response.aclose()

    def _check(self, call: Call, query: bytes) -> None:
        check_query(query)
        if self._key_finder.finds(unquote_to_bytes(query)):
            raise BadQuery("A key in the query string ends up in logs. Send it as Authorization: Bearer.")
        check_headers(call.headers)
        call.attributes = attributes_of(call.headers)

    async def _read(self, call: Call, receive: Receive) -> tuple[bytes | None, ModelCall | None]:
        """The body and what it means, and so which provider it is for."""
        route = call.route
        assert route is not None
        call.provider = route.provider
        if not route.takes_body:
            self._name(call, route.model)
            return None, None
        check_media_type(call.headers, form=route.takes_form)
        body = await self._receive_body(receive, call.headers)
        request = await self._understand(call, body)
        call.request_bytes, call.stream = len(body), request.stream
        call.worst = worst_of(route.endpoint, request, request_bytes=len(body))
        call.background = route.endpoint is Endpoint.RESPONSES and request.says("background")
        call.units = units_of(route.endpoint, request)
        call.continues = request.text_of("previous_response_id")
        self._name(call, request.model)
        return body, request

    async def _understand(self, call: Call, body: bytes) -> ModelCall:
        """A large body takes a while, in which other calls go on."""
        route = call.route
        assert route is not None
        form, named = route.takes_form, route.model

        def read() -> ModelCall:
            return read_form(body, call.headers, named=named) if form else parse(body, named=named)

        return read() if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(read)

    def _name(self, call: Call, model: str | None) -> None:
        """The model that is asked for, if any, and so the provider."""
        assert call.route is not None
        if model is not None and self._key_finder.finds(model.encode()):
            raise AmbiguousModel("The model's name holds an API key, and names end up in logs.")
        call.model = model
        call.provider = call.route.provider or serving(call.route.endpoint, model or "")

    async def _receive_body(self, receive: Receive, headers: RawHeaders) -> bytes:
        seconds = self._limits.request_body
        try:
            async with asyncio.timeout(seconds):
                return await read_body(receive, headers, limit=self._max_body_bytes)
        except TimeoutError as exc:
            raise BadFraming(f"The body did not arrive within {seconds:.0f} seconds.") from exc

    async def _admit(self, call: Call, key: str) -> tuple[Admission, Secret]:
        """The admission, and the provider's key, opened. Raise the gate's refusal, or DependencyUnavailable when the gate can't
        answer (never a 401 for that), or KeyUnavailable."""
        ask = ask_of(call, key_digest=digest(key), seconds_left=self._seconds_left(call))
        try:
            async with asyncio.timeout(self._limits.gate):
                answer, secret = await self._in(self._gate_threads, lambda: self._ask_gate(call, ask))
        except BaseException as exc:
            call.given_up = True
            if not isinstance(exc, TimeoutError):
                raise
            raise DependencyUnavailable("It could not be decided in time whether this call may go on.") from exc
        if isinstance(answer, Refusal):
            raise error_of(answer, call)
        candidate = forward.choose_candidate(answer, call)
        call.candidate, call.upstream_model = candidate.key, candidate.model
        if secret is None:
            secret = await self._in(self._key_threads, lambda: forward.open_key(candidate.key, self._keys))
        return answer, secret

    def _ask_gate(self, call: Call, ask: Ask) -> tuple[Admission | Refusal, Secret | None]:
        """The answer, and in the same trip to a thread the provider's key, if its data key is at hand."""
        asked_at = time.monotonic()
        # In this order: either the one who gave up sees that the gate is asked, or it is not asked.
        call.uncertain = True
        try:
            if call.given_up:
                raise DependencyUnavailable("Nobody waits for this admission any more.")
            answer = self._gate.admit(ask, record.now())
        except OutcomeUnknown:
            raise
        except Exception:
            call.uncertain = False
            raise
        call.uncertain, call.caller = False, answer.caller
        if isinstance(answer, Refusal):
            return answer, None
        call.admitted, call.provider = asked_at, PROVIDERS[answer.candidates[0].provider]
        objects.require_own(self._gate, call)
        return answer, forward.open_at_hand(answer, call, self._keys)

    async def _bind(self, call: Call, object_id: str) -> None:
        event = self._event_to_complete(call) if call.background else None
        await self._in(self._gate_threads, lambda: objects.bind(self._gate, call, object_id, record.now(), pending_event=event))

    def _event_to_complete(self, call: Call) -> str | None:
        """Never raises: an answer that was paid for goes out."""
        try:
            return background.event_to_complete(record.usage_event(call, self._key_finder))
        except Exception as exc:
            record.log_bug(call, exc)
            return None

    async def _keep_content(self, call: Call, body: bytes | None, secret: Secret) -> None:
        """Never raises but for a cancellation: where it can't be told in time, nothing is kept."""
        assert call.caller is not None and call.route is not None  # noqa: PT018
        if body is None or not is_keepable(call.route):
            return
        caller, keeps = call.caller, self._data_modes.at_hand(call.caller)
        if keeps is None:
            try:
                async with asyncio.timeout(CONTENT_SECONDS):
                    keeps = await self._in(self._gate_threads, lambda: self._data_modes.ask(caller))
            except Exception as exc:
                logger.warning("content.unknown", extra={"request_id": str(call.request_id), "error": type(exc).__name__})
        if keeps:
            call.content = Capture(body, secret)

    def _watch(self, call: Call, receive: Receive) -> Watch:
        listening = receive if call.deadline is None else None
        seconds = self._seconds_left(call)
        return Watch(call, self._open_calls, receive=listening, wall_seconds=seconds, idle_seconds=self._limits.idle)

    async def _confirm(self, call: Call) -> None:
        """There is a connection and nothing was written to it yet: the last moment to find out about a kill."""
        assert call.caller is not None
        assert call.admitted is not None
        if time.monotonic() - call.admitted > self._limits.admission_age:
            (reason,) = await self._ask_standing([call.caller])
            if reason is not None:
                raise refused(reason, call)
        call.written = True

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

    async def _conclude(self, call: Call) -> None:
        """After the last byte: the reservation is settled and the usage event handed over, before the server hears that the
        call is done. A call whose key nobody knows has no row; one that the gate may have admitted has."""
        if call.caller is not None or call.uncertain:
            await self._in(self._log_threads, lambda: self._settle_and_publish(call))
        else:
            record.log_line(call, None)

    def _settle_and_publish(self, call: Call) -> None:
        """Never raises: the caller has its answer, and what is left undone here the reaper does."""
        try:
            event = record.usage_event(call, self._key_finder)
            if background.is_open(call):
                record.log_line(call, event)
            else:
                self._close(call, event)
            if (earlier := background.completed(call, record.now())) is not None:
                self._settle(earlier)
                self._request_log.publish(earlier)
            self._publish_content(call)
        except Exception as exc:
            record.log_bug(call, exc)

    def _publish_content(self, call: Call) -> None:
        if call.content is None or call.caller is None:
            return
        kept = call.content.kept(call.request_id, call.caller.key_id, self._key_finder)
        if kept is None:
            logger.warning("content.withheld", extra={"request_id": str(call.request_id), "reason": "a key stands in it"})
        else:
            self._request_log.publish_content(kept)

    def _close(self, call: Call, event: UsageEvent) -> None:
        if call.admitted is not None:
            self._settle(event)
        self._request_log.publish(event)
        record.log_line(call, event)

    def _settle(self, event: UsageEvent) -> None:
        try:
            self._gate.settle(event.request_id, record.charge(event), record.now())
        except Exception as exc:
            # Whatever it is: the writer finalizes by the event that follows; until then the reservation counts as open.
            logger.warning("settle.failed", extra={"request_id": str(event.request_id), "error": type(exc).__name__})

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

    async def _ask_standing(self, callers: Sequence[Caller]) -> Sequence[RefusalReason | None]:
        return await self._in(self._gate_threads, lambda: self._gate.standing(callers, record.now()))

    async def _in(self, threads: ThreadPoolExecutor, ask: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(threads, ask)

    # -- the process -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        await self._upstream.aclose()
        for threads in (self._gate_threads, self._log_threads, self._key_threads):
            threads.shutdown(wait=True)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})
