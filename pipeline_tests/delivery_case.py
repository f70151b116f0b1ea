"""What the tests of deliveries share: the real core, between a misbehaving queue and Postgres."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mypy_boto3_sqs import SQSClient

from chaos.identity import identity_of
from chaos.witness import Durability
from pipeline.consume import stages
from pipeline.consume.batch import Account
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.consume.stages import InHand
from pipeline.contract import Feed
from pipeline.local.queue.clock import Alarm, ManualClock
from pipeline.local.queue.faults import AnyEffect, Rule
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer, create_app
from pipeline.local.queue.witness import AskingWitness
from pipeline.masking.key_file import KeyFile
from pipeline.resources.sqs import Depth, SqsQueue
from pipeline.resources.sqs_client import Endpoint, make_client
from pipeline_tests.load_case import TABLES, prepared
from pipeline_tests.outside_world import ask
from pipeline_tests.queue_fixtures import FreshApp, serving
from pipeline_tests.samples import login, small

FEED: Final = small(batch_messages=500)
"""The logins; a run takes all that there is."""

ALL_VISIBLE: Final = 1_000  # seconds: longer than any visibility timeout or back-off


class HurriedClock(ManualClock):
    """A clock on which whoever waits is told at once that the time has come.

    So a long poll of an empty queue costs nothing, and nothing becomes visible by it.
    """

    def call_at(self, when: float, act: Callable[[], object]) -> Alarm:
        """Rings at once."""
        return super().call_at(min(when, self()), act)


class Delivery:
    """A queue that misbehaves, a warehouse, and runs between them, one stage at a time.

    Args:
        postgres_url: A prepared warehouse; what is in it goes.
        keyring: Its keys.
        client: The client of the runs.
        app: What answers it.
        durable: Oracle C's own look into the warehouse.
        in_flight: How many messages of a queue may be in flight.

    Attributes:
        clock: The queue's.
        misbehaviour: What goes wrong, and what did.
        witness: What was deleted, and what of it too early.
        sqs: The client.
        url: The queue's.
        ports: What runs work with.
    """

    def __init__(
        self,
        postgres_url: str,
        keyring: KeyFile,
        client: SQSClient,
        *,
        app: FreshApp,
        durable: Durability,
        in_flight: int,
    ) -> None:
        self.clock, self.misbehaviour = HurriedClock(1_700_000_000.0), Misbehaviour()
        self.witness, self.sqs = AskingWitness(durable), client
        rng = random.Random(1)  # noqa: S311 - ids that are the same in every run
        queues = Queues(clock=self.clock, rng=rng, max_in_flight=in_flight)
        app.replace(create_app(queues, self.misbehaviour, self.witness))
        self._queue = SqsQueue(client, FEED, embedded=True)
        self._postgres_url, self.url = postgres_url, self._queue.url
        self.ports = stages.Ports(
            PostgresWarehouse(FEED, postgres_url, keyring), lambda: self._queue, chance=rng
        )
        self.rows(f"TRUNCATE {', '.join(TABLES)}")

    def spoil(self, operation: str, effect: AnyEffect, *calls: int) -> None:
        """The one thing that goes wrong from now on: with each call, or the first to the last."""
        chosen = (calls[0], calls[-1]) if calls else None
        self.misbehaviour.set_rules([Rule(operation, effect, calls=chosen)], seed=1)

    def behave(self) -> None:
        """Nothing goes wrong any more."""
        self.misbehaviour.set_rules([], seed=0)

    def send(self, count: int = 0, *, bodies: Mapping[str, str] | None = None) -> None:
        """So many logins `event-0` and so on, or bodies by their event ids."""
        given = bodies or {f"event-{place}": body(place) for place in range(count)}
        for event_id, text in given.items():
            self.sqs.send_message(
                QueueUrl=self.url,
                MessageBody=text,
                MessageAttributes={"event_id": {"DataType": "String", "StringValue": event_id}},
            )

    def extract(self, feed: Feed = FEED) -> InHand:
        """A run up to the moment at which all it holds is decoded."""
        return stages.extract(feed, self.ports)

    def load(self, hand: InHand) -> InHand:
        """The run goes on until it has committed."""
        return stages.load(stages.mask(hand), "run")

    def run(self) -> tuple[Account, int]:
        """A whole run: its account, and how many messages SQS kept."""
        hand = self.load(self.extract())
        left = stages.acknowledge(hand)
        assert hand.account is not None
        return hand.account, left

    def drain(self) -> Account:
        """Runs while time passes, until nothing is left on the queue: the account of them all."""
        total = Account(received=0)
        for _ in range(5):
            self.let_time_pass()
            total += self.run()[0]
            if self.depth().total == 0:
                return total
        raise AssertionError(f"something is left: {self.depth()}")

    def let_time_pass(self) -> None:
        """What is in flight, or was given back, is visible."""
        self.clock.advance(ALL_VISIBLE)

    def depth(self) -> Depth:
        """How full the queue is."""
        return self._queue.depth()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the warehouse answers."""
        return ask(self._postgres_url, statement)

    def users(self) -> list[str]:
        """The users of the table's rows."""
        return [user for (user,) in self.rows("SELECT user_id FROM user_logins")]

    def assert_settled(self, count: int) -> None:
        """Oracles L, D and C: one row each, nothing waits, nothing was deleted too early."""
        assert sorted(self.users()) == sorted(f"user-{place}" for place in range(count))
        assert self.depth().total == 0
        assert (self.witness.violations, self.witness.seen >= count) == ([], True)
        assert self.rows(
            "SELECT bool_and(received = loaded + duplicate + quarantined + released),"
            f" sum(loaded) = {count} FROM pipeline.account"
        ) == [(True, True)]


def body(place: int) -> str:
    """The login of a user of its own."""
    return json.dumps(login(user_id=f"user-{place}"))


@contextlib.contextmanager
def deliveries(postgres_url: str, folder: Path) -> Iterator[Callable[[int], Delivery]]:
    """What begins each test anew on the same server, database and client: cheaply.

    Args:
        postgres_url: Of an empty database.
        folder: For the keyring.

    Yields:
        A function of how many messages may be in flight.
    """
    keyring = KeyFile(folder / "keys" / "keyring.json")
    secret = keyring.load_or_make().settlement_key(FEED.name)
    durable = Durability(FEED.name, identity_of(FEED, secret), lambda: postgres_url)
    app = FreshApp()
    prepared(postgres_url)
    with serving(QueueServer(app)) as endpoint, contextlib.closing(durable):
        client = make_client(Endpoint(endpoint, embedded=True), read_seconds=30)
        with contextlib.closing(client):
            yield lambda in_flight: Delivery(
                postgres_url, keyring, client, app=app, durable=durable, in_flight=in_flight
            )
