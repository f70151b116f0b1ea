"""What the tests of the quarantine share: a world in which messages were quarantined, and hands."""

import datetime as dt
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import pytest

from pipeline.consume.batch import Account
from pipeline.consume.held import tens
from pipeline.consume.load import Load
from pipeline.consume.readiness import check_sink
from pipeline.consume.settlement import decode_batch
from pipeline.contract import Feed
from pipeline.masking.key_file import KeyFile
from pipeline.masking.mask import mask
from pipeline.messages import Message, Refusals
from pipeline.operate.quarantine.redriving import Order, Redriven, redrive
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import SqsQueue
from pipeline.warehouse.quarantine import Selection
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import USER_LOGINS, login
from pipeline_tests.world import World

ALL: Final = Selection("user_logins")
WHY: Final = {"reason": "ticket 12", "stated_by": "Eve"}


def lacking(user: str, **changes: object) -> str:
    """A login without its device type, which the contract asks for."""
    return json.dumps(login(user_id=user, device_type=..., **changes))


def lenient(feed: Feed = USER_LOGINS) -> Feed:
    """The contract, changed so that a login may lack its device type."""
    fields = tuple(
        replace(each, nullable=True) if each.path == "device_type" else each for each in feed.fields
    )
    return replace(feed, fields=fields)


@dataclass(frozen=True)
class Ward:
    """A world with a custodian's log-in.

    Attributes:
        world: Queue, warehouse, keyring.
        outside: The same, as the product sees it.
        queue: The feed's queue.
    """

    world: World
    outside: Outside
    queue: SqsQueue

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead there, for another process."""
        return {**self.world.environment, "PIPELINE_CUSTODIAN_URL": self.outside.custodian_url()}

    def ingest(self, feed: Feed = USER_LOGINS) -> Account:
        """What a run does with all that waits, by a contract, without Dagster and in no time."""
        keyring = self.outside.keyring.load()
        messages: list[Message] = []
        (waiting, _) = self.world.depth()
        while len(messages) < waiting:
            messages += self.queue.receive(10)
        batch = decode_batch(feed, messages, keyring.settlement_key(feed.name))
        masked = replace(batch, frame=mask(feed, batch.frame, keyring))
        account = settle(Load(feed, masked, keyring, run_id="run-1"), self.world.postgres_url)
        for ten in tens(messages):
            assert self.queue.delete(ten) == Refusals()
        return account

    def redrive(self, selection: Selection = ALL, *, rate: float = 1e6) -> Redriven:
        """Redrives what a selection chooses."""
        order = Order(feed=USER_LOGINS, selection=selection, rate=rate, **WHY)
        return redrive(self.outside, order, tell=lambda _: None)

    def reasons(self) -> dict[str, int]:
        """What lies in the quarantine."""
        return dict(self.world.query("SELECT reason, count(*) FROM pipeline.quarantine GROUP BY 1"))

    def users(self) -> list[tuple[str, dt.date]]:
        """What was loaded: the users, and the day of the first sending."""
        return self.world.query("SELECT user_id, create_date FROM user_logins ORDER BY user_id")

    def let_time_pass(self, days: float) -> None:
        """Everything in the quarantine has lain there for so much longer."""
        ask(
            self.world.postgres_url,
            "UPDATE pipeline.quarantine"
            " SET quarantined_at = quarantined_at - make_interval(secs => 86400 * %s)",
            days,
        )


@contextmanager
def ward_in(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """A custodian comes to a world; the settings of this process lead there."""
    check_sink(USER_LOGINS, url=world.postgres_url, keyring=KeyFile(world.keyring))
    with member_of(world.postgres_url, "custodian") as custodian:
        monkeypatch.setenv("PIPELINE_CUSTODIAN_URL", custodian)
        outside = Outside.of(os.environ)
        yield Ward(world, outside, outside.queue_for_a_run(USER_LOGINS))
