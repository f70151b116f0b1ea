"""One trace leads from a caller over the queue to the row, and no trace costs a message."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from pipeline.consume.origin import again
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, weigh
from pipeline.produce.generate import Recipe
from pipeline.produce.rest_client import RestClient
from pipeline.produce.seed import seed
from pipeline.produce.stamping import stamped
from pipeline.produce.traffic import endless
from pipeline.resources.sqs import SqsQueue
from pipeline.trace_context import NAME, TraceContext, read
from pipeline.tracing.batches import MOST
from pipeline.tracing.exporting import PatientExporter
from pipeline.tracing.setting import find_tracing, is_wanted
from pipeline.tracing.tracing import Tracing
from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.otlp_receiver import Collector, collecting, traced_to
from pipeline_tests.privacy_case import bodies, record
from pipeline_tests.rest_case import LOGINS, Rest, rest
from pipeline_tests.samples import USER_LOGINS, login, message
from pipeline_tests.world import World, free_port

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = f"00-{TRACE}-00f067aa0ba902b7-01"
STAGES: Final = ["receive login-queue", "decode", "mask", "load", "acknowledge"]
HOSTILE: Final = (
    "",
    "x" * 30_000,
    CALLER.upper(),
    f"{CALLER}-and-more",
    CALLER.replace("00-", "ff-", 1),
    f"00-{'0' * 32}-00f067aa0ba902b7-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f" {CALLER}",
    f"{CALLER}\u0660",
    '{"$ref": "x"}',
)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting(monkeypatch) as collector:
        yield collector


@pytest.fixture
def service(world: World, collector: Collector) -> Iterator[Rest]:
    """The REST service before the queue of a world, both traced."""
    assert collector.url
    with rest(world.sqs, served=(USER_LOGINS,), embedded=False) as running:
        yield running


def queue_of(world: World, *, traced: bool = True) -> SqsQueue:
    return SqsQueue(world.sqs, USER_LOGINS, traced=traced)


def send_with(world: World, traceparent: str, user: str = "u") -> None:
    world.sqs.send_message(
        QueueUrl=world.queue_url,
        MessageBody=json.dumps(login(user_id=user)),
        MessageAttributes={NAME: {"DataType": "String", "StringValue": traceparent}},
    )


class TestOneTrace:
    """Who asks for traces gets them."""

    def test_leads_from_the_caller_over_rest_and_the_queue_to_the_row(
        self, world: World, collector: Collector, service: Rest, canaries: Canaries
    ) -> None:
        answer = service.post(record(canaries, 1), headers={"traceparent": CALLER})
        assert answer.status_code == 202
        numbers = world.ingest()
        assert numbers["rows"] == 1

        request, sent, processed = collector.trace(TRACE)
        assert [request.name, sent.name, processed.name] == [
            f"POST {LOGINS}",
            "send login-queue",
            "process login-queue",
        ]
        assert request.parent == "00f067aa0ba902b7"
        assert request.attributes["pipeline.request_id"] == answer.headers["x-request-id"]
        assert request.began <= sent.began <= sent.ended
        ((batch, run, committed),) = world.query(
            "SELECT batch_id::text, run_id, committed_at FROM pipeline.account"
        )
        said = processed.attributes
        assert said["pipeline.outcome"] == "loaded"
        assert (said["pipeline.run_id"], said["pipeline.batch"]) == (run, batch)
        assert said["messaging.message.id"] == answer.json()["message_id"]
        assert said["messaging.message.id"] == sent.attributes["messaging.message.id"]
        # From its receipt to the commit, which is later than the start of the transaction.
        assert processed.began < committed.timestamp() * 1e9 < processed.ended

        (ingested,) = collector.named("ingest user_logins")
        assert ingested.links == ((TRACE, sent.span_id),)
        assert processed.links == ((ingested.trace_id, ingested.span_id),)
        stages = [each for each in collector.spans() if each.parent == ingested.span_id]
        assert [each.name for each in sorted(stages, key=lambda each: each.began)] == STAGES
        assert all(ingested.began <= each.began <= each.ended for each in stages)
        assert ingested.attributes["pipeline.loaded"] == 1

    def test_holds_no_value_whatever_is_sent(
        self, world: World, collector: Collector, service: Rest, canaries: Canaries
    ) -> None:
        sent = [body.encode(errors="surrogatepass") for body in bodies(canaries)]
        for body in sent:
            service.post(body)
        word = canaries.device(1).split()[1]
        for name in ("traceparent", "tracestate", "baggage", "event-id", "idempotency-key"):
            service.post(sent[0], headers={name: word})
        service.post(sent[0], f"{LOGINS}/{word}")
        world.send([body for body in bodies(canaries) if body.isprintable()])
        assert world.ingest()["quarantined"]

        spans = collector.spans()
        assert len(spans) > len(sent)
        needles = canaries.masked_needles() | canaries.user_needles()
        assert found_in(b"\n".join(collector.bodies), needles) == []

    def test_has_a_span_for_each_delivery(self, world: World, collector: Collector) -> None:
        send_with(world, CALLER)
        with world.app.gate("DeleteMessageBatch", 1) as gate:
            world.app.let_fail(gate)
            assert world.ingest()["not acknowledged"] == 1
        world.clock.now += 10_000
        assert world.ingest()["duplicate"] == 1

        first, again_ = collector.named("process login-queue")
        assert {first.trace_id, again_.trace_id} == {TRACE}
        assert first.parent == again_.parent == "00f067aa0ba902b7"
        assert first.attributes["pipeline.outcome"] == "loaded"
        assert again_.attributes["pipeline.outcome"] == "duplicate"
        assert again_.attributes["pipeline.receive_count"] == 2

    def test_says_of_each_message_what_became_of_it(
        self, world: World, collector: Collector
    ) -> None:
        parents = dict(zip("abcd", (f"{place:016x}" for place in range(1, 5)), strict=True))
        ids = {name: f"00-{TRACE}-{parent}-01" for name, parent in parents.items()}
        good = json.dumps(login())
        for name, body, event_id in (
            ("a", good, "one"),
            ("b", good, "one"),
            ("c", "{", "two"),
            ("d", json.dumps(login(user_id="other")), "one"),
        ):
            world.sqs.send_message(
                QueueUrl=world.queue_url,
                MessageBody=body,
                MessageAttributes={
                    "event_id": {"DataType": "String", "StringValue": event_id},
                    NAME: {"DataType": "String", "StringValue": ids[name]},
                },
            )
        world.ingest()
        found = {
            each.parent: each.attributes["pipeline.outcome"]
            for each in collector.named("process login-queue")
        }
        became = [found[parents[name]] for name in "abcd"]
        # Which of two deliveries comes first is the queue's affair; of a conflict as well.
        assert became[2] == "quarantined"
        assert sorted([became[0], became[1], became[3]]) in (
            ["duplicate", "loaded", "quarantined"],
            ["loaded", "quarantined", "quarantined"],
        )

    def test_begins_where_an_event_is_made(self, world: World, collector: Collector) -> None:
        events = [Event(f"e{place}", json.dumps(login(user_id=f"{place}"))) for place in range(3)]
        assert seed(queue_of(world), events, progress=lambda _: None) == 3
        carried = [read(each.trace) for each in queue_of(world).receive(10)]

        made = collector.named("create login-queue")
        assert {each.span_id for each in made} == {each.span_id for each in carried if each}
        assert len({each.trace_id for each in made}) == 3

    def test_leads_from_generated_traffic_through_the_service(
        self, collector: Collector, service: Rest
    ) -> None:
        event = next(endless(USER_LOGINS, Recipe(count=1)))
        with RestClient(service.url, None) as client:
            assert client.post("user_logins", event).accepted
        (made,) = collector.named("create login-queue")
        names = [each.name for each in collector.trace(made.trace_id)]
        assert names == ["create login-queue", f"POST {LOGINS}", "send login-queue"]

    def test_goes_on_where_a_dead_letter_is_redriven(self, world: World) -> None:
        send_with(world, CALLER)
        (received,) = queue_of(world).receive(1)
        assert again(received, bytes(32)).trace == CALLER


class TestWhatIsNotTraced:
    """Whatever a sender writes, its message is a message."""

    @pytest.mark.parametrize("traceparent", HOSTILE)
    def test_a_header_that_is_none_is_as_no_header(self, traceparent: str) -> None:
        assert read(traceparent) is None

    def test_such_headers_cost_no_message_and_begin_traces_of_their_own(
        self, collector: Collector, service: Rest
    ) -> None:
        for text in HOSTILE[2:7]:
            assert service.post(login(), headers={"traceparent": text}).status_code == 202
        twice = [("traceparent", CALLER), ("traceparent", CALLER)]
        content = json.dumps(login()).encode()
        headers = [*twice, ("content-type", "application/json")]
        assert service.http.post(LOGINS, content=content, headers=headers).status_code == 202

        requests = collector.named(f"POST {LOGINS}")
        assert len({each.trace_id for each in requests}) == 6
        assert {each.parent for each in requests} == {""}
        assert TRACE not in {each.trace_id for each in requests}

    def test_such_an_attribute_costs_no_row_nor_that_of_a_sender_who_keeps_no_spans(
        self, world: World, collector: Collector
    ) -> None:
        sent = [*filter(None, HOSTILE), f"{CALLER[:-2]}00"]
        for place, text in enumerate(sent):
            send_with(world, text, user=f"u{place}")
        assert world.ingest()["rows"] == len(sent)
        assert collector.named("process login-queue") == []
        (ingested,) = collector.named("ingest user_logins")
        assert ingested.links == ()
        assert TRACE not in {each.trace_id for each in collector.spans()}

    def test_a_request_of_nobody_who_may_send(self, collector: Collector, service: Rest) -> None:
        headers = {"traceparent": CALLER, "host": "elsewhere.example"}
        assert service.post(login(), headers=headers).status_code == 421
        assert collector.spans() == []

    def test_what_the_sampler_leaves_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        sink = Sink()
        tracing = Tracing(sink, {})
        context = read(tracing.created(USER_LOGINS, Event("e", "{}")).trace)
        tracing.close()
        assert context is not None
        assert not context.sampled
        assert sink.spans == 0

    def test_messages_beyond_a_bound(self, collector: Collector) -> None:
        tracing = find_tracing()
        assert tracing is not None
        context = partial(TraceContext, TRACE, sampled=True)
        many = [message("{}", trace=str(context(f"{n:016x}"))) for n in range(1, MOST + 50)]
        trace = tracing.batches(USER_LOGINS, "run").begin("batch", many, 1.0, 2.0)
        assert trace is not None
        assert len(trace.wanted) == MOST
        trace.fail("load", MemoryError())

        processed = collector.named("process login-queue")
        assert len(processed) == MOST
        assert {each.attributes["pipeline.outcome"] for each in processed} == {"released"}
        (ingested,) = collector.named("ingest user_logins")
        assert (ingested.is_error, ingested.attributes["error.type"]) == (True, "MemoryError")
        assert len(ingested.links) == MOST

    def test_an_event_that_has_no_room_for_a_trace(self, collector: Collector) -> None:
        full = Event("e", "x" * (BYTES - weigh(Event("e", ""))))
        assert weigh(full) == BYTES
        assert stamped(USER_LOGINS, full) == full
        assert stamped(USER_LOGINS, Event("e", "x")).trace is not None
        assert collector.url


class TestOff:
    """Who does not ask pays nothing."""

    def test_nothing_is_asked_for_sent_or_made(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
        find_tracing.cache_clear()
        assert find_tracing() is None
        event = Event("e", "{}")
        assert stamped(USER_LOGINS, event) is event
        send_with(world, CALLER)
        (received,) = queue_of(world, traced=False).receive(1)
        assert received.trace is None

    @pytest.mark.parametrize(
        ("environment", "wanted"),
        [
            ({}, False),
            ({"OTEL_SERVICE_NAME": "x"}, False),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "True"}, False),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ],
    )
    def test_it_is_asked_for_by_opentelemetrys_own_variables(
        self,
        environment: dict[str, str],
        wanted: bool,  # noqa: FBT001 - a parameter of the test
    ) -> None:
        assert is_wanted(environment) is wanted

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({}, "is not installed; pip install '.[traces]', or unset OTEL_EXPORTER_OTLP_ENDPOINT"),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "is to be http/protobuf"),
        ],
    )
    def test_what_is_in_the_way_is_told_in_one_line(self, more: dict[str, str], said: str) -> None:
        program = (
            "import sys; sys.modules['opentelemetry.sdk'] = None;"
            "from pipeline.tracing.setting import find_tracing;"
            "assert find_tracing() is None; assert find_tracing() is None"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **more},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


class Sink(SpanExporter):
    """An exporter that fails for as long as it is told to, and counts."""

    def __init__(self) -> None:
        self.fails = False
        self.calls = 0
        self.spans = 0
        self.opened = threading.Event()
        self.opened.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.calls += 1
        self.opened.wait(30)
        if self.fails:
            raise ConnectionError("198.51.100.7 refused")
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


class TestWithoutACollector:
    """A collector that is away costs spans, and nothing else."""

    def test_rows_come_all_the_same(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
        with (
            traced_to(f"http://127.0.0.1:{free_port()}", monkeypatch),
            rest(world.sqs, served=(USER_LOGINS,), embedded=False) as service,
        ):
            for _ in range(3):
                assert service.post(login()).status_code == 202
            assert world.ingest()["rows"] == 3
        told = [each.getMessage() for each in caplog.records if "trace" in each.getMessage()]
        assert len(told) == 1
        assert told[0].startswith("traces are not taken")

    def test_it_is_left_alone_for_a_while_and_its_return_is_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink, now = Sink(), 0.0
        exporter = PatientExporter(sink, lambda: now)
        sink.fails = True
        for _ in range(5):
            assert exporter.export([]) is SpanExportResult.FAILURE
        assert (sink.calls, exporter.is_down) == (1, True)
        now, sink.fails = 31.0, False
        assert exporter.export([]) is SpanExportResult.SUCCESS
        assert not exporter.is_down
        assert [each.levelno for each in caplog.records] == [logging.WARNING] * 2
        assert "198.51.100.7" not in caplog.text

    def test_what_waits_is_bounded(self) -> None:
        sink = Sink()
        sink.opened.clear()
        tracing = Tracing(sink, {})
        for place in range(6_000):
            tracing.created(USER_LOGINS, Event(f"e{place}", "{}"))
        sink.opened.set()
        tracing.close()
        assert 2_048 <= sink.spans <= 2_048 + 512
