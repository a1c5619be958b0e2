"""The whole of NavPlane on this machine: Postgres, AWS's emulation, issuer, demo upstream, and every function."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from socket import socket
from typing import Any

from navplane.config import DatabaseSettings

from navplane_local import stack_builder, template, undelivered
from navplane_local.database_server import DatabaseServer, EmbeddedServer, ExternalServer
from navplane_local.demo_organization import DemoOrganization
from navplane_local.emulation import AwsEmulation
from navplane_local.environment import LogSink
from navplane_local.gateways import App, FunctionUrl, HttpApi, LocalEdge, RestGateway
from navplane_local.harness import Harness
from navplane_local.issuer import Issuer
from navplane_local.lambda_api import LambdaApi
from navplane_local.listener import Listener, bind
from navplane_local.local_values import ADMIN_SUBJECT, AUDIENCE, LocalValues
from navplane_local.self_test import prove
from navplane_local.sqs_queue import SqsQueue
from navplane_local.stack import Stack
from navplane_local.state import Secrets, StateDamaged, StateDirectory

ROOT = Path(__file__).parents[3]
TOKEN_LIFETIME = timedelta(hours=23)
# What the self-test needs; the others start with their first call.
WARM = ("ProxyFunction", "RequestLogWriterFunction", "AdminAnalyticsFunction")
Report = Callable[[str, float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """`edge` is bound and not yet listening. `overrides` maps a provider's name to a loopback URL. `return_seconds`: when the
    queue offers again what a function left. `freezes` stops functions between invocations. `grace_seconds` bounds each wait
    of a stop."""

    state_dir: Path
    log: LogSink
    edge: socket
    database: DatabaseSettings | None = None
    postgres_port: int | None = None
    durable: bool = True
    overrides: Mapping[str, str] = field(default_factory=dict)
    kek_provider: str = "local"
    api_key_prefixes: str = "np_"
    # On one's own machine there is nobody to be protected from a script that asks often.
    admin_calls_per_minute: int = 10_000
    return_seconds: int = 2
    freezes: bool = False
    grace_seconds: int = 10


class LocalCloud:
    """`start` reports each step, with its seconds; `stop` delivers what is queued, or keeps it for the next start. One start
    per object, inside a running event loop."""

    stack: Stack
    harness: Harness
    issuer: Issuer
    demo: DemoOrganization
    rest_url: str
    console_url: str
    demo_upstream_url: str

    def __init__(self, options: CloudOptions) -> None:
        self._options = options
        self.state = StateDirectory(options.state_dir)
        self.aws = AwsEmulation()
        self.base_url = f"http://127.0.0.1:{options.edge.getsockname()[1]}"
        self.database: DatabaseServer = (
            ExternalServer(options.database)
            if options.database
            else EmbeddedServer(self.state.postgres, durable=options.durable, tcp_port=options.postgres_port)
        )
        self._secrets = Secrets()
        self._resources: Mapping[str, str] = {}
        self._queues: Mapping[str, SqsQueue] = {}
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="local-cloud")
        # What is started says here how it is stopped; the last one goes first.
        self._stops = contextlib.AsyncExitStack()

    def admin_token(self) -> str:
        return self.issuer.mint(ADMIN_SUBJECT, audience=AUDIENCE, lifetime=TOKEN_LIFETIME)

    async def start(self, report: Report) -> None:
        """Raise whatever keeps it from running, with everything stopped that was started."""
        self._stops.callback(self._options.edge.close)
        try:
            self.state.take()
            self._stops.callback(self.state.release)
            self._stops.callback(self._threads.shutdown)
            # Left behind by a run that was killed: nobody may take this one for ready.
            self.state.dev_env.unlink(missing_ok=True)
            await self._start(report)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take no more requests, finish those under way, let the queue run empty, keep what is left, stop everything."""
        await self._stops.aclose()

    async def _start(self, report: Report) -> None:
        self._secrets = self.state.secrets()
        postgres, emulation, upstream = await _all(self._start_database(), self._start_aws(), self._start_behind())
        report(self.database.title, postgres, self.database.variables()["DATABASE_HOST"])
        self._build()
        migrations, functions = await _all(self._migrate(), self.harness.warm(*WARM))
        report("migrations", migrations, self._migrated)
        report("AWS emulation", emulation + (await _all(self._start_queues()))[0], self.aws.endpoint)
        report("functions", functions + (await _all(self._open()))[0], f"{len(self.stack.functions)} from template.yaml")
        report("demo upstream", upstream, self.demo_upstream_url)
        report("self-test", (await _all(self._prove()))[0], self._proof)

    async def _start_database(self) -> None:
        self._stops.push_async_callback(self._in_thread, self.database.stop)
        await self._in_thread(self.database.start, self._secrets.passwords)

    async def _start_aws(self) -> None:
        self._stops.push_async_callback(self._in_thread, self.aws.stop)
        await self._in_thread(self.aws.start)
        if self._options.kek_provider == "aws_kms":
            self._resources = await self._in_thread(self.aws.create_key)

    async def _start_behind(self) -> None:
        from navplane_local.demo_upstream.app import DemoUpstream

        bound = bind()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.issuer = await self._in_thread(self._load_issuer, url)
        await self._listen(self.issuer, bound, grace_seconds=1)
        self.demo_upstream_url = await self._listen(DemoUpstream(), bind(), grace_seconds=1)

    def _load_issuer(self, url: str) -> Issuer:
        try:
            return Issuer.from_file(self.state.issuer_key, url=url)
        except ValueError as exc:
            raise StateDamaged(self.state.issuer_key) from exc

    def _build(self) -> None:
        self._lambda_socket = bind()
        self._stops.callback(self._lambda_socket.close)
        values = LocalValues(
            base_url=self.base_url,
            database=self.database.variables(),
            aws=self.aws.variables(),
            issuer_url=self.issuer.url,
            demo_upstream_url=self.demo_upstream_url,
            lambda_url=f"http://127.0.0.1:{self._lambda_socket.getsockname()[1]}",
            kek_provider=self._options.kek_provider,
            mail_outbox=str(self.state.mail),
            api_key_prefixes=self._options.api_key_prefixes,
            admin_calls_per_minute=self._options.admin_calls_per_minute,
            overrides=self._options.overrides,
            passwords=self._secrets.passwords,
            kek=self.state.kek(),
            # As long as the issuer's address, which changes with every start too.
            console_session_key=secrets.token_urlsafe(48),
        )
        self.console_url = values.console_url
        self.stack = stack_builder.build(
            template.load(ROOT / "template.yaml"),
            root=ROOT,
            aws_endpoint=self.aws.endpoint,
            # moto's state is one for the whole process, which may run several local clouds.
            suffix=f"-{secrets.token_hex(4)}",
            parameters=values.parameters(),
            resources=self._resources,
        )
        self.harness = Harness(self.stack, variables=values.variables, log=self._options.log, freezes=self._options.freezes)
        self._stops.push_async_callback(self._keep_undelivered)
        self._stops.push_async_callback(self.harness.stop)

    async def _migrate(self) -> None:
        """The deployment's last step, as on AWS: the function that may change the schema is invoked."""
        answer = json.loads(await self.harness.invoke("MigrateFunction", b"{}").payload())
        count, newest = len(answer["applied"]), answer["schema_version"]
        self._migrated = f"{count} applied, up to {newest}" if count else f"up to date: {newest}"

    async def _start_queues(self) -> None:
        queues = await self._in_thread(self.aws.create_queues, self.stack.queues)
        await self._in_thread(undelivered.replay, self.state.undelivered, queues)
        self._queues = queues
        self.harness.start_sources(queues, return_seconds=self._options.return_seconds)
        self.harness.start_schedules()
        self._stops.push_async_callback(self._deliver)

    async def _open(self) -> None:
        routes, invoke = self.stack.routes, self.harness.invoke
        apis = [HttpApi([route for route in routes if route.api == api], invoke) for api in ("AdminApi", "ConsoleApi")]
        proxy = FunctionUrl("ProxyFunction", invoke, streams=True)
        seconds = self._options.grace_seconds
        await self._listen(LambdaApi(self.harness.invoke, self.stack.functions), self._lambda_socket, grace_seconds=seconds)
        await self._listen(LocalEdge(apis=apis, proxy=proxy), self._options.edge, grace_seconds=seconds)
        rest = self.stack.rest_apis["GatewayApi"]
        gateway = RestGateway(rest, [route for route in routes if route.api == "GatewayApi"], invoke)
        self.rest_url = f"{await self._listen(gateway, bind(), grace_seconds=seconds)}/{rest.stage}"

    async def _prove(self) -> None:
        known = DemoOrganization(org_id=self._secrets.demo_org_id, api_key=self._secrets.demo_api_key)
        self.demo, self._proof = await self._in_thread(prove, self.base_url, self.admin_token(), known, self._remember)

    def _remember(self, demo: DemoOrganization) -> None:
        self._secrets.demo_org_id, self._secrets.demo_api_key = demo.org_id, demo.api_key
        self.state.keep(self._secrets)

    async def _deliver(self) -> None:
        """Wait for what callers have started (their usage events are on the way), then for the queue to run empty."""
        seconds = self._options.grace_seconds
        called = [name for name, function in self.stack.functions.items() if not (function.sources or function.schedules)]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.harness.settled(*called), seconds)
        await self.harness.drain(seconds=seconds)

    async def _keep_undelivered(self) -> None:
        if self._queues:
            await self._in_thread(undelivered.keep, self.state.undelivered, self._queues)

    async def _listen(self, app: App, bound: socket, *, grace_seconds: int) -> str:
        listener = Listener(app, bound, grace_seconds=grace_seconds)
        await listener.start()
        self._stops.push_async_callback(listener.stop)
        return listener.url

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


async def _all(*work: Coroutine[Any, Any, None]) -> list[float]:
    """Run them at the same time; return the seconds of each. Whatever happens, none is left running: what a thread has
    started must be known before it can be stopped."""
    tasks = [asyncio.create_task(_seconds(one)) for one in work]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await asyncio.wait(tasks)
        raise
    return [task.result() for task in tasks]


async def _seconds(work: Coroutine[Any, Any, None]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began
