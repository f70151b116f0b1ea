"""A redriven message is settled by today's contract: once, under its own date."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import psycopg
import pytest

from pipeline.consume.batch import Account
from pipeline.errors import AuditRefused, QuarantineError, QueueError
from pipeline.messages import Event, Sent
from pipeline.operate.quarantine.choosing import choose
from pipeline.operate.quarantine.redriving import Order, Redriven, check_time, redrive
from pipeline.reasons import Reason
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.access_case import member_of
from pipeline_tests.outside_world import answered
from pipeline_tests.quarantine_case import ALL, WHY, Ward, lacking, lenient, ward_in
from pipeline_tests.samples import USER_LOGINS, eventually, login
from pipeline_tests.world import CLOCK_DAY, World

DAY: Final = 86_400


@pytest.fixture
def ward(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_in(world, monkeypatch) as ward:
        yield ward


def test_what_the_contract_allows_by_now_is_loaded_under_its_first_date(ward: Ward) -> None:
    """Fault 18: the queue gives another id and another time."""
    ward.world.send([lacking(f"user-{place:02}") for place in range(12)])
    assert ward.ingest().quarantined == {"missing": 12}
    ward.world.clock.now += 3 * DAY

    assert ward.redrive() == Redriven(sent=12)

    assert (ward.reasons(), ward.world.depth()) == ({}, (12, 0))
    assert ward.ingest(lenient()).loaded == 12
    assert ward.users() == [(f"user-{place:02}", CLOCK_DAY) for place in range(12)]


def test_what_still_breaks_the_contract_is_quarantined_again(ward: Ward) -> None:
    """With its new reason, its event id, and the time of its first sending."""
    ward.world.send([lacking("user-1", ip="nowhere")], ["event-1"])
    ward.ingest()
    before = ward.world.query("SELECT key, message_id, sent_at FROM pipeline.quarantine")
    ward.world.clock.now += DAY

    ward.redrive()
    assert ward.ingest(lenient()).quarantined == {"bad_address": 1}

    assert ward.reasons() == {"bad_address": 1}
    after = ward.world.query("SELECT key, message_id, sent_at FROM pipeline.quarantine")
    assert after == before


def test_a_message_without_an_event_id_stays_the_same_event(ward: Ward) -> None:
    """The broken build: a key from the message id that the redrive gave."""
    ward.world.sqs.send_message(QueueUrl=ward.world.queue_url, MessageBody=lacking("user-1"))
    ward.ingest()
    before = ward.world.query("SELECT key, message_id FROM pipeline.quarantine")
    ward.redrive()
    ward.ingest()
    assert ward.world.query("SELECT key, message_id FROM pipeline.quarantine") == before
    ward.redrive()
    assert ward.ingest(lenient()).loaded == 1
    assert ward.users() == [("user-1", CLOCK_DAY)]


def test_a_message_from_before_event_ids_were_kept_is_known_by_its_message_id(ward: Ward) -> None:
    ward.world.send([lacking("user-1")], ["event-1"])
    ward.ingest()
    ward.world.query("UPDATE pipeline.quarantine SET event_id_sealed = NULL")
    assert ward.redrive() == Redriven(sent=1)
    assert ward.ingest(lenient()).loaded == 1
    assert ward.users() == [("user-1", CLOCK_DAY)]


def test_a_conflict_is_a_conflict_again(ward: Ward) -> None:
    ward.world.send([json.dumps(login()), json.dumps(login(locale="DE"))], ["event-1"] * 2)
    assert ward.ingest().quarantined == {"conflict": 1}
    ward.redrive()
    assert ward.ingest().quarantined == {"conflict": 1}
    assert len(ward.users()) == 1


def test_an_event_that_was_corrected_meanwhile_is_not_doubled(ward: Ward) -> None:
    ward.world.send([lacking("user-1")], ["event-1"])
    ward.ingest()
    ward.world.send([json.dumps(login(user_id="user-1"))], ["event-1"])
    ward.ingest()
    ward.redrive()
    assert ward.ingest(lenient()).quarantined == {"conflict": 1}
    assert ward.users() == [("user-1", CLOCK_DAY)]


def test_only_what_is_chosen_goes(ward: Ward) -> None:
    ward.world.send(["broken", lacking("user-1"), lacking("user-2")])
    ward.ingest()
    by_code = replace(ALL, reasons=(Reason.NOT_JSON,))
    assert ward.redrive(by_code) == Redriven(sent=1)
    assert ward.reasons() == {"missing": 2}
    ((key,), _) = ward.world.query("SELECT key FROM pipeline.quarantine ORDER BY key")
    one = choose(ward.outside, USER_LOGINS, handles=[key.hex()[:12]])
    assert ward.redrive(one) == Redriven(sent=1)
    assert ward.reasons() == {"missing": 1}


def settle_at_once(ward: Ward) -> None:
    """A consumer is quick to work off what was redriven, and more that is broken."""
    ward.world.send([f"new {place} {uuid.uuid4()}" for place in range(10)])
    ward.ingest()


def test_what_is_quarantined_meanwhile_is_not_taken(ward: Ward) -> None:
    """Else a redrive under an unchanged contract would go round for ever."""
    ward.world.send([f"broken {place}" for place in range(30)])
    ward.ingest()
    order = Order(feed=USER_LOGINS, selection=ALL, rate=1e6, **WHY)
    done = redrive(ward.outside, order, tell=lambda _: settle_at_once(ward))
    assert done == Redriven(sent=30)
    assert ward.reasons() == {"not_json": 60}


def test_what_is_refused_again_before_the_redrive_has_committed_is_kept(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer is quick, and must not take for a duplicate what is about to leave."""
    ward.world.send([lacking("user-1")])
    ward.ingest()
    send, consuming = SqsQueue.send, list[Future[Account]]()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(ward.world.postgres_url) as onlooker:

        def send_and_let_consume(queue: SqsQueue, events: Sequence[Event]) -> Sent:
            sent = send(queue, events)
            consuming.append(pool.submit(ward.ingest))
            eventually(lambda: consuming[0].done() or somebody_waits(onlooker))
            return sent

        monkeypatch.setattr(SqsQueue, "send", send_and_let_consume)
        assert ward.redrive() == Redriven(sent=1)
        assert consuming[0].result().quarantined == {"missing": 1}
    assert (ward.reasons(), ward.world.depth()) == ({"missing": 1}, (0, 0))


def somebody_waits(onlooker: psycopg.Connection) -> bool:
    """Whether a session of this database waits for another one."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    found = onlooker.execute(f"{waiting} AND datname = current_database()").fetchall()
    onlooker.rollback()  # or it would see the same for ever
    return bool(found)


def test_what_the_queue_refuses_lies_where_it_lay(ward: Ward) -> None:
    ward.world.send([lacking("user-1"), lacking("user-2")])
    ward.world.send(["x" * (2**20 - 60)])
    ward.ingest()
    before = ward.world.query("SELECT * FROM pipeline.quarantine WHERE reason = 'not_json'")
    assert ward.redrive() == Redriven(sent=2, refused=1)
    assert ward.world.query("SELECT * FROM pipeline.quarantine") == before


def test_what_the_queue_refuses_in_part_lies_where_it_lay(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 75: one call, of which SQS takes one message and refuses the other."""
    sqs = ward.world.sqs
    queue = SqsQueue(sqs, USER_LOGINS, embedded=False)
    monkeypatch.setattr(Outside, "queue_for_a_run", lambda *_: queue)
    ward.world.send([lacking("user-1"), lacking("user-2")])
    ward.ingest()
    (_, second) = ward.world.query("SELECT * FROM pipeline.quarantine ORDER BY key")
    taken = {"Id": "0", "MessageId": "m", "MD5OfMessageBody": ""}
    refused = {"Id": "1", "SenderFault": True, "Code": "InvalidMessageContents"}
    with answered(sqs, "SendMessageBatch", {"Successful": [taken], "Failed": [refused]}):
        assert ward.redrive() == Redriven(sent=1, refused=1)
    assert ward.world.query("SELECT * FROM pipeline.quarantine") == [second]


def test_what_does_not_open_lies_where_it_lay(ward: Ward) -> None:
    ward.world.send([lacking("user-1"), lacking("user-2")])
    ward.ingest()
    ward.world.query("UPDATE pipeline.quarantine SET body_sealed = substr(body_sealed, 1, 40)")
    assert ward.redrive() == Redriven(unreadable=2)
    assert ward.reasons() == {"missing": 2}


def test_a_queue_that_does_not_answer_takes_nothing_from_the_quarantine(ward: Ward) -> None:
    ward.world.send([lacking("user-1")])
    ward.ingest()
    with ward.world.app.gate("SendMessageBatch", 1) as gate:
        ward.world.app.let_fail(gate)
        with pytest.raises(QueueError):
            ward.redrive()
    assert ward.reasons() == {"missing": 1}


def test_it_keeps_to_its_rate(ward: Ward) -> None:
    ward.world.send([lacking(f"user-{place}") for place in range(21)])
    ward.ingest()
    began = time.monotonic()
    assert ward.redrive(rate=40) == Redriven(sent=21)
    assert time.monotonic() - began >= 21 / 40


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(ward: Ward, rate: float) -> None:
    with pytest.raises(QuarantineError, match="above 0"):
        ward.redrive(rate=rate)


@pytest.mark.parametrize(("messages", "rate"), [(82_800, 1), (0, 0.1), (8_280_000, 100)])
def test_what_ends_within_the_day_of_its_request_is_redriven(messages: int, rate: float) -> None:
    check_time(USER_LOGINS, messages, rate)


def test_what_takes_longer_is_refused_with_the_rate_that_would_do() -> None:
    with pytest.raises(QuarantineError, match="at 101 a second or more"):
        check_time(USER_LOGINS, 8_280_001, 100)


def test_it_is_recorded_before_and_after(ward: Ward) -> None:
    ward.world.send(["broken", "other"])
    ward.ingest()
    ward.redrive(replace(ALL, reasons=(Reason.NOT_JSON,)))
    rows = ward.world.query(
        "SELECT action, feed, reason, stated_by, detail::jsonb - 'before' FROM pipeline.audit"
        " ORDER BY id"
    )
    assert rows == [
        ("redrive", "user_logins", "ticket 12", "Eve", {"reasons": ["not_json"]}),
        ("redrive done", "user_logins", "the end of the request", "Eve", {"messages": 2}),
    ]
    assert ward.world.query("SELECT how, count(*) FROM pipeline.quarantine_left GROUP BY 1") == [
        ("redriven", 2)
    ]


def test_nobody_but_a_custodian_redrives(ward: Ward) -> None:
    ward.world.send(["broken"])
    ward.ingest()
    with (
        member_of(ward.world.postgres_url, "loader") as loader,
        pytest.raises(AuditRefused, match="no custodian"),
    ):
        replace(ward, outside=replace(ward.outside, custodian=loader)).redrive()
    assert ward.reasons() == {"not_json": 1}
