"""What a run held is acknowledged or released, neither fails, and a dead endpoint is asked once."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest

from pipeline.consume.held import Held
from pipeline.errors import QueueError, QueueUnreachable
from pipeline.messages import Message, Refusals
from pipeline_tests.held_case import QUICK, SLOW, blank, hearts
from pipeline_tests.outside_world import StandInQueue
from pipeline_tests.samples import CANARY, eventually


@pytest.fixture(autouse=True)
def _no_heart_goes_on() -> Iterator[None]:
    yield
    assert hearts() == []


def _refusing(_messages: Sequence[Message]) -> Refusals[Message]:
    raise QueueError("SQS refused", remedy="none")


class TestAcknowledging:
    """Deleting what was committed."""

    def test_everything_is_deleted_in_batches(self) -> None:
        messages = blank(25)
        queue = StandInQueue()
        held = Held(queue, SLOW)
        held.add(messages[:15])
        held.add(messages[15:])

        assert held.acknowledge() == 0

        assert sorted(len(some) for some in queue.deleted) == [5, 10, 10]
        assert Counter(each.receipt for some in queue.deleted for each in some) == Counter(
            each.receipt for each in messages
        )

    def test_only_what_was_refused_and_may_pass_is_tried_again(self) -> None:
        """Fault 8."""
        messages = blank(4)
        answers = iter(
            [
                Refusals(retry=tuple(messages[:2]), final=(messages[2],)),
                Refusals(retry=(messages[1],)),
                Refusals(),
            ]
        )
        queue = StandInQueue(delete=lambda _some: next(answers))
        held = Held(queue, SLOW)
        held.add(messages)

        assert held.acknowledge() == 1

        assert queue.deleted == [messages, messages[:2], messages[1:2]]

    def test_what_is_refused_again_and_again_is_counted(self) -> None:
        """Fault 8."""
        messages = blank(3)
        queue = StandInQueue(delete=lambda _some: Refusals(retry=(messages[1],)))
        held = Held(queue, SLOW)
        held.add(messages)

        assert held.acknowledge() == 1
        assert len(queue.deleted) == 3

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (QueueError("SQS refused", remedy="Wait"), "E_QUEUE: SQS refused. Wait"),
            (ValueError(CANARY), "ValueError"),
        ],
    )
    def test_a_failing_call_fails_no_committed_run(
        self, caplog: pytest.LogCaptureFixture, error: Exception, told: str
    ) -> None:
        """Fault 8. One call fails, the others are not held up."""
        messages = blank(20)

        def delete(some: Sequence[Message]) -> Refusals[Message]:
            if messages[0] in some:
                raise error
            return Refusals()

        queue = StandInQueue(delete=delete)
        held = Held(queue, SLOW)
        held.add(messages)

        assert held.acknowledge() == 10

        assert len(queue.deleted) == 2
        assert f"acknowledging: {told}" in caplog.text
        assert CANARY not in caplog.text

    def test_what_refuses_every_call_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Faults 8 and 22: a right that is missing, for a thousand messages."""

        def denied(_some: Sequence[Message]) -> Refusals[Message]:
            raise QueueError("queue 'q' refused DeleteMessageBatch", remedy="Check the policy")

        held = Held(StandInQueue(delete=denied), SLOW)
        held.add(blank(1_000))

        assert held.acknowledge() == 1_000

        assert _warnings(caplog) == [
            "acknowledging: E_QUEUE: queue 'q' refused DeleteMessageBatch. Check the policy"
        ]

    def test_nothing_is_held_afterwards(self) -> None:
        queue = StandInQueue(delete=_refusing)
        held = Held(queue, SLOW)
        held.add(blank(3))
        held.acknowledge()

        assert held.release() == 0


class TestReleasing:
    """Giving back what could not be settled."""

    @pytest.mark.parametrize(
        ("deliveries", "pause"),
        [(1, 10), (2, 20), (3, 40), (7, 640), (8, 900), (10, 900), (11, 3600), (1_000, 3600)],
    )
    def test_the_pause_grows_with_the_deliveries(self, deliveries: int, pause: int) -> None:
        """Fault 16."""
        messages = blank(2, receive_count=deliveries)
        queue = StandInQueue()
        held = Held(queue, SLOW)
        held.add(messages)

        assert held.release() == 2

        assert queue.hidden == [(messages, pause)]

    def test_everything_is_released_in_batches_of_one_pause(self) -> None:
        first, second = blank(15), blank(5, receive_count=2)
        queue = StandInQueue()
        held = Held(queue, SLOW)
        held.add([*first[:7], *second, *first[7:]])

        assert held.release() == 20

        assert sorted((len(some), pause) for some, pause in queue.hidden) == [
            (5, 10),
            (5, 20),
            (10, 10),
        ]
        assert queue.deleted == []

    def test_a_refusal_is_no_error(self, caplog: pytest.LogCaptureFixture) -> None:
        """They come back by themselves when their visibility ends."""
        queue = StandInQueue(hide=_refusing)
        held = Held(queue, SLOW)
        held.add(blank(12))

        assert held.release() == 0
        assert "changing visibility: E_QUEUE" in caplog.text

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
    def test_a_failing_block_releases(
        self, caplog: pytest.LogCaptureFixture, error: type[BaseException]
    ) -> None:
        queue = StandInQueue()
        held = Held(queue, SLOW)
        held.add(blank(3))

        with pytest.raises(error), held.released_on_failure():
            raise error

        assert [pause for _, pause in queue.hidden] == [10]
        assert "released 3 of 3 messages; all come again" in caplog.text

    def test_a_block_that_ends_well_goes_on_holding(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        queue = StandInQueue()
        with closing(Held(queue, SLOW)) as held:
            with held.released_on_failure():
                held.add(blank(3))

            assert queue.hidden == []
            assert len(hearts()) == 1
            assert held.release() == 3


class TestDeadEndpoint:
    """An endpoint that does not answer is not asked once per ten messages."""

    def test_releasing_a_thousand_messages_is_one_call_a_receiver(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Fault 13: each call takes as long as its timeouts."""
        queue = StandInQueue(hide=_silent())
        held = Held(queue, SLOW)
        held.add(blank(1_000))

        assert held.release() == 0

        assert len(queue.hidden) <= SLOW.receivers
        assert _warnings(caplog) == ["changing visibility: E_QUEUE_UNREACHABLE: no answer. Wait"]

    def test_acknowledging_a_thousand_messages_is_one_call_a_receiver(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Faults 10 and 13."""
        queue = StandInQueue(delete=_silent())
        held = Held(queue, SLOW)
        held.add(blank(1_000))

        assert held.acknowledge() == 1_000

        assert len(queue.deleted) <= SLOW.receivers
        assert _warnings(caplog) == ["acknowledging: E_QUEUE_UNREACHABLE: no answer. Wait"]

    def test_a_later_heartbeat_tries_again(self, caplog: pytest.LogCaptureFixture) -> None:
        messages = blank(20)
        beats: list[Sequence[Message]] = []

        def hide(some: Sequence[Message]) -> Refusals[Message]:
            beats.append(some)
            if len(beats) <= 2:
                raise QueueUnreachable("no answer", remedy="Wait")
            return Refusals()

        with closing(Held(StandInQueue(hide=hide), QUICK)) as held:
            held.add(messages)
            eventually(lambda: len(beats) >= 4)

        # Two beats with a call each, then one that reaches all.
        assert beats[:4] == [messages[:10], messages[:10], messages[:10], messages[10:]]
        assert len(_warnings(caplog)) == 2

    @pytest.mark.parametrize("ending", [Held.acknowledge, Held.release])
    def test_what_a_heartbeat_met_keeps_nobody_from_trying(
        self, ending: Callable[[Held], int]
    ) -> None:
        """The endpoint may have come back since."""
        met = threading.Event()

        def hide(_some: Sequence[Message]) -> Refusals[Message]:
            if met.is_set():
                return Refusals()
            met.set()
            raise QueueUnreachable("no answer", remedy="Wait")

        queue = StandInQueue(hide=hide)
        held = Held(queue, QUICK)
        held.add(blank(20))
        assert met.wait(timeout=10)

        reached = ending(held)

        assert reached == (0 if ending is Held.acknowledge else 20)


def _silent() -> Callable[[Sequence[Message]], Refusals[Message]]:
    """An endpoint at which every receiver has called before the first gives up."""
    together = threading.Barrier(SLOW.receivers)

    def call(_messages: Sequence[Message]) -> Refusals[Message]:
        together.wait(timeout=10)
        raise QueueUnreachable("no answer", remedy="Wait")

    return call


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
