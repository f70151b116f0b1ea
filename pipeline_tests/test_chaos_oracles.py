"""The oracles of chaos see what is wrong with a warehouse that a real load has filled."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

import psycopg
import pytest

from chaos.accepted import Answer, Record
from chaos.identity import Mark, identity_of
from chaos.oracles import Findings, add_up, compare
from chaos.witness import Bystanders, Durability
from pipeline.consume.settlement import Identity
from pipeline.feeds.user_logins import FEED
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.messages import Attribute, Message, md5_of_body
from pipeline_tests.load_case import batch, prepared, settle
from pipeline_tests.outside_world import unused_port
from pipeline_tests.samples import KEYRING, login, message

STEM = "Uq-"
ROWS = 5
BODIES = [json.dumps(login(user_id=f"{STEM}{2 * number}")) for number in range(ROWS)]
BROKEN = "not JSON"
CONFLICT = json.dumps(login(user_id=f"{STEM}1"))


def identity() -> Identity:
    return identity_of(FEED, KEYRING.settlement_key(FEED.name))


def record(number: int, body: str, answer: Answer = Answer.ACCEPTED, *, place: int = -1) -> Record:
    mark = Mark.of(identity(), f"chaos-{number}", body)
    return Record(answer, number, 2 * number if place < 0 else place, mark)


SENT = [
    *(record(number, body) for number, body in enumerate(BODIES)),
    record(0, BODIES[0]),  # the same once more
    record(0, CONFLICT, place=1),
    record(9, BROKEN),
]


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A warehouse into which a batch of all that was sent has been settled; nobody changes it."""
    own = postgres_server.start()
    with psycopg.connect(own, autocommit=True) as server:
        server.execute("CREATE DATABASE chaos_oracles")
        url = prepared(f"{own.rpartition('/')[0]}/chaos_oracles")
        bodies = [*enumerate(BODIES), (0, BODIES[0]), (0, CONFLICT), (9, BROKEN)]
        settle(batch([message(body, event_id=f"chaos-{number}") for number, body in bodies]), url)
        yield url
        server.execute("DROP DATABASE chaos_oracles WITH (FORCE)")


@pytest.fixture
def warehouse(url: str) -> Iterator[psycopg.Connection]:
    """A connection of which every change is undone."""
    with closing(psycopg.connect(url)) as connection:
        yield connection


def find(
    warehouse: psycopg.Connection, sent: Sequence[Record] = SENT, waiting: Sequence[Mark] = ()
) -> Findings:
    return compare(warehouse, FEED, STEM, sent=sent, waiting=waiting)


def test_a_sound_warehouse_is_found_sound(warehouse: psycopg.Connection) -> None:
    found = find(warehouse)
    assert (found.accepted, found.lost, found.without_row, found.strangers) == (7, 0, 0, 0)
    assert found.rows == found.events == found.ledger == ROWS
    assert found.quarantined == {"conflict": 1, "not_json": 1}
    sums = {"received": 8, "loaded": 5, "duplicate": 1, "quarantined": 2, "released": 0}
    assert (found.account, found.batches, found.crooked) == (sums, 1, 0)


@pytest.mark.parametrize(
    ("answer", "queued", "lost"),
    [(Answer.ACCEPTED, False, 1), (Answer.ACCEPTED, True, 0), (Answer.UNSURE, False, 0)],
)
def test_what_was_accepted_and_is_nowhere_is_lost(
    warehouse: psycopg.Connection, answer: Answer, *, queued: bool, lost: int
) -> None:
    """Oracle L: the queue and its dead-letter queue are places too."""
    unseen = record(50, BODIES[0], answer)
    assert find(warehouse, [*SENT, unseen], [unseen.mark] * queued).lost == lost


def test_an_event_in_the_ledger_with_another_content_is_lost_all_the_same(
    warehouse: psycopg.Connection,
) -> None:
    warehouse.execute("DELETE FROM pipeline.quarantine WHERE reason = 'conflict'")
    assert find(warehouse).lost == 1


def test_a_row_that_is_gone_is_missed_though_the_ledger_has_it(
    warehouse: psycopg.Connection,
) -> None:
    warehouse.execute("DELETE FROM user_logins WHERE user_id = 'Uq-4'")
    assert find(warehouse).without_row == 1


def test_a_row_that_is_there_twice_is_seen(warehouse: psycopg.Connection) -> None:
    warehouse.execute("INSERT INTO user_logins SELECT * FROM user_logins WHERE user_id = 'Uq-4'")
    found = find(warehouse)
    assert (found.rows, found.events) == (ROWS + 1, ROWS)


def test_both_sides_of_a_conflict_in_the_table_are_one_event_twice(
    warehouse: psycopg.Connection,
) -> None:
    warehouse.execute("UPDATE user_logins SET user_id = 'Uq-3' WHERE user_id = 'Uq-4'")
    assert find(warehouse, [*SENT, record(1, CONFLICT, place=3)]).events == ROWS - 1


@pytest.mark.parametrize("answers", [(), (Answer.REFUSED,)])
def test_rows_that_nobody_sent_or_that_were_refused_are_strangers(
    warehouse: psycopg.Connection, answers: Sequence[Answer]
) -> None:
    without = [each for each in SENT if each.place != 0]
    refused = [record(0, BODIES[0], answer) for answer in answers]
    assert find(warehouse, [*without, *refused]).strangers == 1


def test_an_account_that_does_not_add_up_is_counted(warehouse: psycopg.Connection) -> None:
    warehouse.execute("UPDATE pipeline.account SET received = received + 1")
    assert find(warehouse).crooked == 1


def delete(number: int, body: str) -> Message:
    """A message of the queue that somebody is about to delete."""
    named = {"event_id": Attribute("String", f"chaos-{number}")}
    return Message("id", body, md5_of_body(body), named, 0.0)


@pytest.mark.parametrize(
    ("number", "body", "durable"),
    [
        (3, BODIES[3], True),
        (9, BROKEN, True),
        (0, CONFLICT, True),
        (3, CONFLICT, False),
        (50, BODIES[3], False),
    ],
)
def test_the_witness_knows_what_is_durable(
    url: str, number: int, body: str, *, durable: bool
) -> None:
    """Oracle C: in the ledger with this content, or in the quarantine with it."""
    witness = Durability(FEED.name, identity(), lambda: url)
    assert witness("login-queue", delete(number, body)) is durable
    witness.close()


def test_the_witness_does_not_take_what_is_not_committed_for_durable(url: str) -> None:
    witness = Durability(FEED.name, identity(), lambda: url)
    mark = Mark.of(identity(), "chaos-60", BODIES[0])
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO pipeline.ledger (feed, key, content) VALUES (%s, %s, %s)",
            (FEED.name, mark.key, mark.content),
        )
        assert witness("login-queue", delete(60, BODIES[0])) is False
    assert witness("login-queue", delete(60, BODIES[0])) is True
    witness.close()


def test_a_witness_that_cannot_see_refuses_the_delete_and_looks_again(url: str) -> None:
    with unused_port() as port:
        places = iter([f"postgresql://nobody@127.0.0.1:{port}/none", url])
        witness = Durability(FEED.name, identity(), lambda: next(places))
        with pytest.raises(SqsError) as refused:
            witness("login-queue", delete(3, BODIES[3]))
    assert refused.value.status == 503
    assert witness("login-queue", delete(3, BODIES[3])) is True
    witness.close()


def test_each_queue_has_a_witness_of_its_own_and_dead_letters_may_go(url: str) -> None:
    known = Durability(FEED.name, identity(), lambda: url)
    stranger = Durability("another", identity(), lambda: url)
    bystanders = Bystanders({"login-queue": known, "other-queue": stranger})
    assert bystanders("login-queue", delete(3, BODIES[3])) is True
    assert bystanders("other-queue", delete(3, BODIES[3])) is False
    assert bystanders("login-queue-dead-letter", delete(50, BODIES[3])) is True
    known.close()
    stranger.close()


def test_what_has_left_the_quarantine_is_counted(warehouse: psycopg.Connection) -> None:
    warehouse.execute(
        "INSERT INTO pipeline.quarantine_left (feed, key, quarantined_at, how)"
        " SELECT feed, key, quarantined_at, 'redriven' FROM pipeline.quarantine"
    )
    assert find(warehouse).left == 2


def test_the_findings_of_some_feeds_are_added_up(warehouse: psycopg.Connection) -> None:
    one = find(warehouse)
    both = add_up([one, one])
    assert (both.rows, both.accepted, both.batches) == (2 * ROWS, 14, 2)
    assert both.quarantined == {"conflict": 2, "not_json": 2}
    assert both.account["received"] == 16
