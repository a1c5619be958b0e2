"""Batches and responses that nobody asks for: maintenance has their providers asked, and each is counted exactly once."""

import json
import runpy
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from navplane.crypto.envelope import seal
from navplane.crypto.kek_local import LocalKek
from navplane.custody.probe_provider import ProviderProbe
from navplane.gate.gate import Caller, Owner
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.collect_usage import Asking, UsageCollector
from navplane.ingest.consume import Consumer
from navplane.ingest.maintain import maintain
from navplane.ingest.reap import Reaper
from navplane.model.ids import RequestId, new_id, new_request_id
from navplane.model.provider_key import SealingContext, Secret
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality
from navplane.queue.function_call import FunctionProbe
from navplane.store.database import Connection, Database
from navplane.store.request_rows import RequestRow
from navplane.upstream.origin import Origins

import functions
from tests.support.http_script import Answer, Request, ScriptedServer, serving
from tests.support.moto_server import aws_environment
from tests.support.postgres import TestDatabase
from tests.support.queue_memory import MemoryQueue
from tests.support.tenants import reservation_states, seed_caller, seed_reservations
from tests.support.usage_events import usage_event

KEK = LocalKek(bytes(range(32)))
SECRET = "sk-canary-7f3a9c51d2e84b60"
LEASE = timedelta(hours=72)
NOW = datetime.now(UTC)
DUE = NOW + timedelta(minutes=5)
CONTENT = "Nobody may read this"
Rows = Callable[[], list[RequestRow]]
COUNTED = {"input_tokens": 30, "output_tokens": 12, "input_tokens_details": {"cached_tokens": 4}}
USED = Usage(input_tokens=30, output_tokens=12, cached_input_tokens=4)


def said(**members: object) -> Answer:
    return Answer(body=json.dumps(members).encode())


def chat_line(tokens: int) -> bytes:
    usage = {"prompt_tokens": tokens, "completion_tokens": 2}
    body = {"model": "gpt-5-2026", "choices": [{"message": {"content": CONTENT}}], "usage": usage}
    return json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": body}}).encode() + b"\n"


def message_line(tokens: int) -> bytes:
    message = {"model": "claude-opus-4", "content": [{"text": CONTENT}], "usage": {"input_tokens": tokens, "output_tokens": 2}}
    return json.dumps({"custom_id": "a", "result": {"type": "succeeded", "message": message}}).encode() + b"\n"


@dataclass(slots=True)
class Shelf:
    """A provider's objects by path: what is not there is 404."""

    answers: dict[str, Answer] = field(default_factory=dict)

    def __call__(self, request: Request) -> Answer:
        return self.answers.get(request.path, Answer(status=404))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def provider(shelf: Shelf) -> Iterator[ScriptedServer]:
    with serving(shelf) as server:
        yield server


def probe_at(url: str, database: TestDatabase, **bounds: int) -> ProviderProbe:
    origins = Origins(overrides={"openai": url, "anthropic": url}, demo_url=None)
    return ProviderProbe(database=database.as_role("navplane_probe", size=2), keys=KEK, origins=origins, **bounds)


@pytest.fixture(autouse=True)
def nothing_else(superuser: Connection) -> None:
    superuser.run("DELETE FROM awaited_objects")
    superuser.run("DELETE FROM reservations")


@pytest.fixture
def collector(writer: Database, consumer: Consumer, provider: ScriptedServer, module_database: TestDatabase) -> UsageCollector:
    return UsageCollector(
        database=writer, consumer=consumer, asking=Asking(probe=probe_at(provider.url, module_database), region=Region.US)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes objects as the proxy leaves them: reserved, bound, and awaited."""

    superuser: Connection
    gate: PostgresGate

    def key(self, caller: Caller, provider: str) -> SealingContext:
        context = SealingContext(org_id=caller.org_id, provider_key_id=new_id(), provider=provider, region="us")
        self.superuser.run(
            "INSERT INTO provider_keys (org_id, id, provider, label, key_hint, region, sealed, kek_id)"
            " VALUES (:org, :id, :provider, :label, 'abcd', 'us', :sealed, :kek)",
            org=caller.org_id, id=context.provider_key_id, provider=provider, label=str(context.provider_key_id),
            sealed=seal(Secret(SECRET.encode()), context=context, kek=KEK), kek=KEK.kek_id,
        )  # fmt: skip
        return context

    def made(
        self, caller: Caller, object_id: str, endpoint: Endpoint = Endpoint.BATCHES, provider: str = "openai"
    ) -> tuple[RequestId, str]:
        """The id of the call that made it, and the event that is kept with it."""
        request_id, context = new_request_id(NOW), self.key(caller, provider)
        seed_reservations(self.superuser, caller, [request_id], state="reserved", tokens=400, lease=LEASE)
        event = usage_event(
            request_id=request_id, org_id=caller.org_id, workspace_id=caller.workspace_id, key_id=caller.key_id,
            endpoint=endpoint, provider=provider, provider_key_id=context.provider_key_id, usage=Usage(), raw_usage=None,
        ).to_json()  # fmt: skip
        owner = Owner(org_id=caller.org_id, provider_key_id=context.provider_key_id, pending_event=event, awaited_by=request_id)
        self.gate.bind_object(provider, object_id, owner, NOW)
        return request_id, event


@pytest.fixture
def maker(superuser: Connection, module_database: TestDatabase) -> Maker:
    return Maker(superuser=superuser, gate=PostgresGate(module_database.as_role("navplane_gate")))


def batch_id() -> str:
    return f"batch_{uuid4().hex}"


OPENAI_ENDS = {
    "counted by itself": ({"status": "completed", "usage": COUNTED}, b"", USED),
    "counted by its lines": (
        {"status": "completed", "output_file_id": "file-out", "request_counts": {"completed": 2}},
        chat_line(10) + chat_line(20),
        Usage(input_tokens=30, output_tokens=4),
    ),
    "expired half way": (
        {"status": "expired", "output_file_id": "file-out", "error_file_id": "file-err", "request_counts": {"completed": 1}},
        chat_line(10),
        Usage(input_tokens=10, output_tokens=2),
    ),
    "failed": ({"status": "failed", "request_counts": {"total": 0, "completed": 0, "failed": 0}}, b"", Usage()),
}


@pytest.mark.parametrize("end", OPENAI_ENDS)
def test_an_openai_batch_that_nobody_asks_for_is_settled(
    maker: Maker, collector: UsageCollector, shelf: Shelf, provider: ScriptedServer, caller: Caller, rows: Rows, end: str
) -> None:
    batch, lines, used = OPENAI_ENDS[end]
    object_id = batch_id()
    request_id, _ = maker.made(caller, object_id)
    shelf.answers = {
        f"/v1/batches/{object_id}": said(id=object_id, **batch),
        "/v1/files/file-out/content": Answer(body=lines),
    }
    assert collector.run(NOW) == 0
    assert provider.requests == []

    assert collector.run(DUE) == 1
    [row] = rows()
    assert (row.request_id, row.endpoint, row.usage, row.service_tier) == (request_id, Endpoint.BATCHES, used, "batch")
    assert (row.outcome, row.usage_quality, row.revision) == (Outcome.OK, UsageQuality.EXACT, 1)
    assert reservation_states(maker.superuser, [request_id]) == {request_id: ("final", used.total_tokens)}
    assert {request.headers["authorization"] for request in provider.requests} == {f"Bearer {SECRET}"}
    kept = maker.superuser.run("SELECT l::text FROM request_logs AS l WHERE request_id = :id", id=request_id)
    assert CONTENT not in str(kept)

    asked = len(provider.requests)
    assert collector.run(DUE + timedelta(days=1)) == 0
    assert len(provider.requests) == asked


ANTHROPIC_ENDS = {
    "answered": ({"succeeded": 2}, message_line(10) + message_line(20), Usage(input_tokens=30, output_tokens=4)),
    "expired": ({"succeeded": 0, "expired": 2}, b"", Usage()),
}


@pytest.mark.parametrize("end", ANTHROPIC_ENDS)
def test_an_anthropic_batch_that_nobody_asks_for_is_settled(
    maker: Maker, collector: UsageCollector, shelf: Shelf, provider: ScriptedServer, caller: Caller, rows: Rows, end: str
) -> None:
    counts, lines, used = ANTHROPIC_ENDS[end]
    object_id = f"msgbatch_{uuid4().hex}"
    request_id, _ = maker.made(caller, object_id, Endpoint.MESSAGE_BATCHES, "anthropic")
    shelf.answers = {
        f"/v1/messages/batches/{object_id}": said(id=object_id, processing_status="ended", request_counts=counts),
        f"/v1/messages/batches/{object_id}/results": Answer(body=lines),
    }
    assert collector.run(DUE) == 1
    [row] = rows()
    assert (row.request_id, row.usage, row.usage_quality) == (request_id, used, UsageQuality.EXACT)
    assert {request.headers["x-api-key"] for request in provider.requests} == {SECRET}


def test_a_response_in_the_background_is_settled_the_same_way(
    maker: Maker, collector: UsageCollector, shelf: Shelf, caller: Caller, rows: Rows
) -> None:
    object_id = f"resp_{uuid4().hex}"
    maker.made(caller, object_id, Endpoint.RESPONSES)
    path = f"/v1/responses/{object_id}"
    shelf.answers[path] = said(id=object_id, object="response", status="in_progress", usage=None)
    assert collector.run(DUE) == 0
    shelf.answers[path] = said(id=object_id, object="response", status="completed", model="gpt-5-2026", usage=COUNTED)
    # It was just asked: the next time is five minutes later.
    assert collector.run(DUE + timedelta(minutes=4)) == 0
    assert collector.run(DUE + timedelta(minutes=5)) == 1
    [row] = rows()
    assert (row.usage, row.usage_quality, row.response_model) == (USED, UsageQuality.EXACT, "gpt-5-2026")


def test_what_a_caller_was_shown_meanwhile_is_one_row_and_counted_once(
    maker: Maker, collector: UsageCollector, consumer: Consumer, shelf: Shelf, queue: MemoryQueue,
    provider: ScriptedServer, caller: Caller, rows: Rows,
) -> None:  # fmt: skip
    object_id = batch_id()
    request_id, event = maker.made(caller, object_id)
    answer = said(id=object_id, status="completed", usage=COUNTED)
    published = json.loads(event) | {"usage": {"input_tokens": 30, "output_tokens": 12, "cached_input_tokens": 4}}

    def shows_it_to_a_caller_too(request: Request) -> Answer:
        queue.publish(type(usage_event()).from_json(json.dumps(published)))
        assert not consumer.consume(queue.take(10, wait_seconds=0))
        return answer

    provider.script = shows_it_to_a_caller_too
    assert collector.run(DUE) == 1
    [row] = rows()
    assert (row.request_id, row.usage) == (request_id, USED)
    charges = "SELECT count(*), sum(amount_usd) FROM ledger_entries WHERE request_id = :id AND kind = 'charge'"
    assert maker.superuser.run(charges, id=request_id)[0][0] <= 1
    sums = "SELECT sum(requests), sum(input_tokens) FROM usage_daily WHERE org_id = :org"
    assert maker.superuser.run(sums, org=caller.org_id) == [[1, 30]]
    assert reservation_states(maker.superuser, [request_id]) == {request_id: ("final", 42)}


def test_what_was_settled_before_is_not_asked_about(
    maker: Maker, collector: UsageCollector, provider: ScriptedServer, caller: Caller
) -> None:
    request_id, _ = maker.made(caller, batch_id())
    maker.superuser.run("UPDATE reservations SET state = 'settled' WHERE request_id = :id", id=request_id)
    assert collector.run(DUE) == 0
    assert provider.requests == []
    assert maker.superuser.run("SELECT count(*) FROM awaited_objects") == [[0]]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_provider_that_does_not_say_is_asked_later_and_less_and_less(
    maker: Maker, collector: UsageCollector, shelf: Shelf, provider: ScriptedServer, caller: Caller, rows: Rows, status: int
) -> None:
    object_id = batch_id()
    maker.made(caller, object_id)
    path = f"/v1/batches/{object_id}"
    shelf.answers[path] = Answer(status=status, headers={"location": "/elsewhere"})
    asked_at = []
    for minutes in range(0, 240, 5):
        before = len(provider.requests)
        collector.run(DUE + timedelta(minutes=minutes))
        asked_at += [minutes] * (len(provider.requests) - before)
    assert asked_at == [0, 5, 15, 35, 75, 135, 195]
    shelf.answers[path] = said(id=object_id, status="completed", usage=COUNTED)
    assert collector.run(DUE + timedelta(hours=5)) == 1
    assert [row.usage for row in rows()] == [USED]


def test_a_provider_that_nobody_listens_for_is_asked_later(
    maker: Maker, collector: UsageCollector, shelf: Shelf, writer: Database, consumer: Consumer, caller: Caller, rows: Rows,
    module_database: TestDatabase,
) -> None:  # fmt: skip
    object_id = batch_id()
    maker.made(caller, object_id)
    shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=COUNTED)
    with serving(shelf) as gone:
        url = gone.url
    assert (
        UsageCollector(
            database=writer, consumer=consumer, asking=Asking(probe=probe_at(url, module_database), region=Region.US)
        ).run(DUE)
        == 0
    )
    assert rows() == []
    assert collector.run(DUE + timedelta(minutes=5)) == 1


def test_a_probe_that_is_away_puts_nothing_off_for_long(
    maker: Maker, collector: UsageCollector, writer: Database, consumer: Consumer, shelf: Shelf, caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    object_id = batch_id()
    maker.made(caller, object_id)
    shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=COUNTED)
    with serving(lambda request: Answer(status=500)) as lambda_api:
        for name, value in aws_environment(lambda_api.url).items():
            monkeypatch.setenv(name, value)
        away = UsageCollector(database=writer, consumer=consumer, asking=Asking(probe=FunctionProbe("probe"), region=Region.US))
        assert away.run(DUE) == 0
    assert collector.run(DUE + timedelta(minutes=1)) == 0
    assert collector.run(DUE + timedelta(minutes=2)) == 1


def test_what_can_not_be_told_in_time_is_lost_as_ever(
    maker: Maker, shelf: Shelf, provider: ScriptedServer, writer: Database, caller: Caller, rows: Rows,
    module_database: TestDatabase,
) -> None:  # fmt: skip
    request_id, _ = maker.made(caller, batch_id())
    reaper = Reaper(gate=PostgresGate(writer), database=writer, queue_age=MemoryQueue())
    probe = probe_at(provider.url, module_database)
    counts = maintain(writer, reaper, now=NOW + LEASE + timedelta(hours=1), asking=Asking(probe=probe, region=Region.US))
    assert (counts["usage_collected"], counts["reservations_closed"]) == (0, 1)
    assert [(row.request_id, row.outcome) for row in rows()] == [(request_id, Outcome.LOST)]
    asked = len(provider.requests)
    assert asked == 1
    maintain(writer, reaper, now=NOW + LEASE + timedelta(hours=3), asking=Asking(probe=probe, region=Region.US))
    assert len(provider.requests) == asked


def test_maintenance_settles_what_it_can_ahead_of_the_reaper(
    maker: Maker, shelf: Shelf, provider: ScriptedServer, writer: Database, caller: Caller, rows: Rows,
    module_database: TestDatabase,
) -> None:  # fmt: skip
    object_id = batch_id()
    maker.made(caller, object_id)
    shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=COUNTED)
    reaper = Reaper(gate=PostgresGate(writer), database=writer, queue_age=MemoryQueue())
    late = NOW + LEASE + timedelta(hours=1)
    counts = maintain(writer, reaper, now=late, asking=Asking(probe=probe_at(provider.url, module_database), region=Region.US))
    assert (counts["usage_collected"], counts["reservations_closed"]) == (1, 0)
    assert [row.outcome for row in rows()] == [Outcome.OK]


def test_an_output_that_is_too_large_is_left_to_the_caller(
    maker: Maker, shelf: Shelf, provider: ScriptedServer, writer: Database, consumer: Consumer, caller: Caller, rows: Rows,
    module_database: TestDatabase,
) -> None:  # fmt: skip
    object_id = batch_id()
    request_id, _ = maker.made(caller, object_id)
    batch = said(id=object_id, status="completed", output_file_id="file-out", request_counts={"completed": 9})
    shelf.answers = {
        f"/v1/batches/{object_id}": batch,
        "/v1/files/file-out/content": Answer(body=chat_line(10) * 9),
    }
    probe = probe_at(provider.url, module_database, max_lines_bytes=len(chat_line(10)) * 9 - 1)
    collector = UsageCollector(database=writer, consumer=consumer, asking=Asking(probe=probe, region=Region.US))
    assert collector.run(DUE) == 0
    asked = len(provider.requests)
    assert collector.run(DUE + timedelta(days=1)) == 0
    assert (len(provider.requests), rows()) == (asked, [])
    assert reservation_states(maker.superuser, [request_id]) == {request_id: ("reserved", 400)}


CUT = {
    "a line that is none": Answer(body=chat_line(10) + b"{"),
    "no end that could be told": Answer(body=chat_line(10), headers={"content-length": ""}),
    "a compressed one": Answer(body=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("case", CUT)
def test_an_output_that_is_not_whole_counts_nothing(
    maker: Maker, collector: UsageCollector, shelf: Shelf, caller: Caller, rows: Rows, case: str
) -> None:
    object_id = batch_id()
    maker.made(caller, object_id)
    batch = said(id=object_id, status="completed", output_file_id="file-out", request_counts={"completed": 2})
    shelf.answers = {f"/v1/batches/{object_id}": batch, "/v1/files/file-out/content": CUT[case]}
    assert collector.run(DUE) == 0
    assert rows() == []


@pytest.mark.parametrize("output", ["../../v1/models", "file-1?purpose=x", "file-1/../x", "x"])
def test_an_output_by_an_id_that_is_none_is_not_asked_for(
    maker: Maker, collector: UsageCollector, shelf: Shelf, provider: ScriptedServer, caller: Caller, output: str
) -> None:
    object_id = batch_id()
    maker.made(caller, object_id)
    batch = said(id=object_id, status="completed", output_file_id=output, request_counts={"completed": 2})
    shelf.answers[f"/v1/batches/{object_id}"] = batch
    assert collector.run(DUE) == 0
    assert [request.path for request in provider.requests] == [f"/v1/batches/{object_id}"]


def test_a_key_that_the_provider_repeats_is_kept_nowhere(
    maker: Maker, collector: UsageCollector, shelf: Shelf, caller: Caller, rows: Rows
) -> None:
    object_id = batch_id()
    request_id, _ = maker.made(caller, object_id)
    usage = COUNTED | {"note": SECRET}
    shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=usage, model=SECRET)
    assert collector.run(DUE) == 1
    assert [row.usage for row in rows()] == [USED]
    kept = maker.superuser.run("SELECT l::text FROM request_logs AS l WHERE request_id = :id", id=request_id)
    assert SECRET not in str(kept)


def test_an_object_that_is_somebody_elses_is_asked_about_as_theirs_only(
    maker: Maker, collector: UsageCollector, shelf: Shelf, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    owner, object_id = seed_caller(superuser), batch_id()
    theirs, _ = maker.made(owner, object_id)
    ours, _ = maker.made(caller, object_id)
    assert superuser.run("SELECT org_id, request_id FROM awaited_objects") == [[owner.org_id, theirs]]
    shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=COUNTED)
    assert collector.run(DUE) == 1
    assert rows() == []
    assert reservation_states(superuser, [theirs, ours]) == {theirs: ("final", 42), ours: ("reserved", 400)}


def test_a_key_of_another_organization_is_never_opened_for_it(
    maker: Maker, collector: UsageCollector, provider: ScriptedServer, superuser: Connection, caller: Caller
) -> None:
    object_id = batch_id()
    maker.made(caller, object_id)
    foreign = maker.key(seed_caller(superuser), "openai")
    superuser.run(
        "UPDATE provider_objects SET provider_key_id = :key WHERE object_id = :id", key=foreign.provider_key_id, id=object_id
    )
    assert collector.run(DUE) == 0
    assert provider.requests == []


def test_organizations_take_turns(
    maker: Maker, collector: UsageCollector, provider: ScriptedServer, superuser: Connection, caller: Caller
) -> None:
    for _ in range(25):
        maker.made(caller, batch_id())
    other = batch_id()
    maker.made(seed_caller(superuser), other)
    superuser.run("UPDATE awaited_objects SET ask_at = ask_at + interval '1 minute' WHERE object_id = :id", id=other)
    collector.run(DUE + timedelta(minutes=1), seconds=60)
    assert len(provider.requests) == 20
    assert f"/v1/batches/{other}" in {request.path for request in provider.requests}


def test_two_runs_at_once_ask_once(
    maker: Maker, shelf: Shelf, provider: ScriptedServer, caller: Caller, rows: Rows, module_database: TestDatabase
) -> None:
    objects = [batch_id() for _ in range(8)]
    for object_id in objects:
        maker.made(caller, object_id)
        shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=COUNTED)
    start, settled = threading.Barrier(2), []

    def collect() -> None:
        database = module_database.as_role("navplane_writer")
        gate, probe = PostgresGate(database), probe_at(provider.url, module_database)
        consumer = Consumer(database=database, gate=gate, dead_letters=MemoryQueue(), now=lambda: DUE)
        start.wait(10)
        settled.append(
            UsageCollector(database=database, consumer=consumer, asking=Asking(probe=probe, region=Region.US)).run(
                DUE, seconds=60
            )
        )

    threads = [threading.Thread(target=collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(settled) == 8
    assert sorted(request.path for request in provider.requests) == sorted(f"/v1/batches/{each}" for each in objects)
    assert len(rows()) == 8


def test_it_is_asked_through_the_function_that_may_open_the_key(
    maker: Maker, writer: Database, consumer: Consumer, shelf: Shelf, provider: ScriptedServer, caller: Caller, rows: Rows,
    module_database: TestDatabase, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    object_id = batch_id()
    maker.made(caller, object_id)
    shelf.answers = {
        f"/v1/batches/{object_id}": said(
            id=object_id, status="completed", output_file_id="file-out", request_counts={"completed": 1}
        ),
        "/v1/files/file-out/content": Answer(body=chat_line(10)),
    }
    environment = {
        **module_database.settings("navplane_probe"),
        "KEK_PROVIDER": "local",
        "ENCRYPTION_KEY": b64encode(bytes(range(32))).decode(),
        "NAVPLANE_MODE": "local",
        "NAVPLANE_UPSTREAM_OVERRIDE_OPENAI": provider.url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    function = runpy.run_path(str(Path(functions.__file__).parent / "provider_probe" / "handler.py"))
    crossed = []

    def invoke(request: Request) -> Answer:
        answered = json.dumps(function["handler"](json.loads(request.body), None)).encode()
        crossed.append(request.body + answered)
        return Answer(body=answered)

    with serving(invoke) as lambda_api:
        for name, value in aws_environment(lambda_api.url).items():
            monkeypatch.setenv(name, value)
        collector = UsageCollector(
            database=writer, consumer=consumer, asking=Asking(probe=FunctionProbe("provider-probe"), region=Region.US)
        )
        assert collector.run(DUE) == 1
    function["probe"].database.close()
    assert [row.usage for row in rows()] == [Usage(input_tokens=10, output_tokens=2)]
    assert len(crossed) == 1
    assert CONTENT.encode() not in crossed[0]
    assert SECRET.encode() not in crossed[0]


def test_the_stack_of_another_region_leaves_it_alone(
    maker: Maker, collector: UsageCollector, shelf: Shelf, writer: Database, consumer: Consumer, provider: ScriptedServer,
    caller: Caller, module_database: TestDatabase,
) -> None:  # fmt: skip
    object_id = batch_id()
    maker.made(caller, object_id)
    shelf.answers[f"/v1/batches/{object_id}"] = said(id=object_id, status="completed", usage=COUNTED)
    asking = Asking(probe=probe_at(provider.url, module_database), region=Region.EU)
    assert UsageCollector(database=writer, consumer=consumer, asking=asking).run(DUE) == 0
    assert provider.requests == []
    assert collector.run(DUE) == 1


def test_the_probe_of_another_region_opens_no_key_for_it(
    maker: Maker, writer: Database, consumer: Consumer, provider: ScriptedServer, caller: Caller, module_database: TestDatabase
) -> None:
    maker.made(caller, batch_id())
    origins = Origins(overrides={"openai": provider.url}, demo_url=None, region=Region.EU)
    probe = ProviderProbe(database=module_database.as_role("navplane_probe", size=1), keys=KEK, origins=origins)
    asking = Asking(probe=probe, region=Region.US)
    assert UsageCollector(database=writer, consumer=consumer, asking=asking).run(DUE) == 0
    assert provider.requests == []
