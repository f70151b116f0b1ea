"""What the tests of enrichments share: a feed that has one, its messages, and runs of its job."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import dagster as dg

from pipeline.consume.asset import ingest
from pipeline.consume.batch import EVIDENCE, Decoded
from pipeline.consume.enrich import Added, enrich
from pipeline.consume.settlement import decode_batch
from pipeline.contract import SENT_AT, Feed, Field, Limits
from pipeline.enrichment import ENRICHED, Enrichment, Function, Record
from pipeline.masking.policies import Keep, Pseudonymize
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import Integer, Text, Texts, Timestamp
from pipeline_tests.samples import KEYRING, message
from pipeline_tests.world import World

BACK_OFF: Final = 10  # seconds after a first delivery; doubles
ALL_VISIBLE: Final = 1_000  # seconds: longer than any back-off
ENOUGH: Final = 20.0  # seconds in which the batch of a test is enriched, on any machine

_AROUND: Final = dg.Definitions(
    resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
    executor=dg.in_process_executor,
)


async def score(record: Record) -> Mapping[str, object]:
    """The id as the score."""
    return {"score": record["id"]}


def orders(function: Function = score, *, most: int = 200, **how: object) -> Feed:
    """A feed with an enrichment; it reads the queue that a `World` has.

    Args:
        function: What is called for each record.
        most: Messages of one run: with as many on the queue, it waits for no others.
        **how: Other attributes of the enrichment; one attempt, if nothing else is said.
    """
    limits = Limits(batch_messages=most, receivers=2, receive_seconds=20.0)
    settings: dict[str, object] = {"attempts": 1} | how
    enrichment = Enrichment(function, **settings)  # type: ignore[arg-type]
    return replace(_ORDERS, limits=limits, enrichment=enrichment)


def order(number: int, **changes: object) -> str:
    """The body of an order."""
    record: dict[str, object] = {
        "id": number,
        "email": f"user-{number}@example.org",
        "tags": ["new"],
    }
    return json.dumps(record | changes)


def send_orders(world: World, *numbers: int) -> list[str]:
    """Puts orders on the queue, each as the event of its number."""
    return world.send([order(n) for n in numbers], [f"order-{n}" for n in numbers])


def batch(feed: Feed, count: int) -> Decoded:
    """So many orders, as a run has decoded them."""
    messages = [message(order(number), event_id=f"order-{number}") for number in range(count)]
    return decode_batch(feed, messages, KEYRING.settlement_key(feed.name))


def enriched(function: Function, count: int, *, within: float = ENOUGH, **how: object) -> Added:
    """What becomes of a batch of so many orders under a function."""
    return enriched_by(orders(function, most=count, **how), count, within=within)


def enriched_by(feed: Feed, count: int, *, within: float = ENOUGH) -> Added:
    """What becomes of a batch of so many orders under a feed's enrichment."""
    until = time.monotonic() + within
    return enrich(feed, batch(feed, count), frozenset(), until, evidence=EVIDENCE)


def places(added: Added) -> list[int]:
    """The numbers of the orders that go on."""
    assert added.batch.frame["id"].tolist() == added.batch.frame["score"].tolist()
    assert len(added.batch.entries) == len(added.batch.frame)
    return [int(number) for number in added.batch.frame["id"]]


def run(feed: Feed) -> dg.ExecuteInProcessResult:
    """One run of the feed's job in this process, successful or not."""
    job = dg.Definitions.merge(ingest(feed), _AROUND).resolve_job_def(f"ingest_{feed.name}")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def numbers(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    """The metadata of a run's materialisation; all checks have passed."""
    assert failures(result) == []
    checked = result.get_asset_check_evaluations()
    assert [each.description for each in checked if not each.passed] == []
    assert result.success
    (materialization,) = result.asset_materializations_for_node("orders")
    return {name: value.value for name, value in materialization.metadata.items()}


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """The text of the innermost error of each step that failed."""
    texts = []
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            texts.append("" if error is None else error.message)
    return texts


def account(result: dg.ExecuteInProcessResult) -> tuple[int, int, int, int, int]:
    """Received, loaded, duplicate, quarantined and released, of a run that succeeded."""
    told = numbers(result)
    return (
        told["received"],
        told["rows"],
        told["duplicate"],
        told["quarantined"],
        told["released"],
    )


def scores(world: World) -> list[tuple[int, int]]:
    """Number and score of each order in the table."""
    return [
        (number, given) for number, given in world.query("SELECT id, score FROM orders ORDER BY id")
    ]


_ORDERS: Final = Feed(
    name="orders",
    description="Orders with a score.",
    queue="login-queue",
    table="orders",
    fields=(
        Field("id", Integer(), Keep()),
        Field("email", Text(60), Pseudonymize(), personal=True),
        Field("tags", Texts(Text(10), 5), Keep()),
        Field(ENRICHED + "score", Integer(0, 100), Keep()),
        Field(ENRICHED + "owner.name", Text(40), Pseudonymize(), personal=True, nullable=True),
        Field(SENT_AT, Timestamp(), Keep()),
    ),
    enrichment=Enrichment(score),
)
