"""A message that ends every run that touches it costs the others a few deliveries, and no more."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from pipeline.consume import stages
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.consume.suspects import part, portions
from pipeline.decode import Decoder, Row
from pipeline.feeds.messages import FEED as ENRICHED
from pipeline.messages import Message
from pipeline.resources.outside import Outside
from pipeline_tests.samples import USER_LOGINS, login, message
from pipeline_tests.world import World

ALL_VISIBLE = 4_000  # seconds: longer than any visibility timeout or back-off
POISON = json.dumps(login(user_id="poison"))
_read = Decoder.decode


class TestParting:
    """Who is a suspect, and with how many others it is settled."""

    def test_three_deliveries_in_vain_prove_nothing(self) -> None:
        messages = [message("{}", receive_count=count) for count in (4, 1, 3, 9, 2, 5)]

        sound, suspects = part(USER_LOGINS, messages)

        assert [each.receive_count for each in sound] == [1, 3, 2]
        assert [each.receive_count for each in suspects] == [4, 5, 9]

    def test_an_enrichment_that_fails_makes_no_suspects(self) -> None:
        assert ENRICHED.enrichment is not None
        patient = replace(ENRICHED, enrichment=replace(ENRICHED.enrichment, deliveries=6))

        messages = [message("{}", receive_count=count) for count in (6, 7)]
        sound, suspects = part(patient, messages)

        assert ([each.receive_count for each in sound], len(suspects)) == ([6], 1)

    def test_portions_shrink_with_each_delivery_down_to_one(self) -> None:
        suspects = [message("{}", receive_count=n) for n in (4, 5, 6, 7, 19) for _ in range(1_001)]

        sizes = _sizes(portions(USER_LOGINS, suspects))

        assert {n: (len(of), max(of)) for n, of in sizes.items()} == {
            4: (2, 1_000),
            5: (11, 100),
            6: (101, 10),
            7: (1_001, 1),
            19: (1_001, 1),
        }

    @pytest.mark.parametrize("ahead", [-2, 0, 2])
    def test_with_one_that_ends_every_run_nobody_goes_down(self, ahead: int) -> None:
        """However often it was delivered before, compared with the others: so in a thousand."""
        others = _delivered(6, 1_000)
        killer = message("{}", message_id="killer", receive_count=6 + ahead)

        left = _left_after(5, [*others[:500], killer, *others[500:]], {"killer"})

        assert [each.message_id for each in left] == ["killer"]

    def test_with_two_those_between_them_change(self) -> None:
        killers = {"400", "800"}

        left = _left_after(16, _delivered(4, 1_000), killers)

        assert {each.message_id for each in left} == killers


def test_what_ends_every_run_is_left_alone_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 15: an end that no run can tell of, as a kill for want of memory is."""
    bodies = [json.dumps(login(user_id=f"user-{place}")) for place in range(30)]
    world.send([*bodies[:15], POISON, *bodies[15:]])
    _read_until_poison(monkeypatch, SystemExit())
    outside = Outside.of(world.environment)
    warehouse = PostgresWarehouse(USER_LOGINS, outside.postgres_url, outside.keyring)
    ports = stages.Ports(warehouse, lambda: outside.queue_for_a_run(USER_LOGINS))

    for _ in range(12):
        with pytest.raises(SystemExit):
            _run(ports)
        world.clock.now += ALL_VISIBLE

    assert world.query("SELECT count(*) FROM user_logins") == [(30,)]
    assert world.receive_counts() == [13]


def test_a_bug_that_one_message_meets_costs_only_that_message(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fault 15: the run tells of it, and has settled all the others."""
    bodies = [json.dumps(login(user_id=f"user-{place}")) for place in range(5)]
    world.send([*bodies, POISON])
    _read_until_poison(monkeypatch, ValueError("poison"))
    for _ in range(6):
        assert not world.run().success
        world.clock.now += ALL_VISIBLE

    failed = world.run()

    assert not failed.success
    assert world.query("SELECT count(*), min(user_id) FROM user_logins") == [(5, "user-0")]
    (event,) = [each for each in failed.all_events if each.is_step_failure]
    assert "E_UNEXPECTED: ValueError in stage 'isolate'" in str(event.step_failure_data)
    assert "poison" not in str(failed.all_events)
    told = [each.message for each in caplog.records if each.name == "pipeline.consume.stages"]
    assert told[-1] == "received 6 = loaded 5 + duplicate 0 + quarantined 0 + released 1"
    assert world.query(
        "SELECT bool_and(received = loaded + duplicate + quarantined + released)"
        " FROM pipeline.account"
    ) == [(True,)]


def test_a_table_that_refuses_everything_is_not_the_messages_fault_when_they_come_alone(
    world: World,
) -> None:
    """Fault 51: however often they were delivered, nothing goes to the quarantine."""
    world.send([json.dumps(login(user_id=f"user-{place}")) for place in range(12)])
    world.send(["not JSON"])
    assert world.run().success
    world.query("TRUNCATE user_logins, pipeline.ledger")
    world.query("ALTER TABLE user_logins ADD CONSTRAINT no_one CHECK (device_type = 'none')")
    world.send([json.dumps(login(user_id=f"other-{place}")) for place in range(12)])

    for _ in range(9):
        assert not world.run().success
        world.clock.now += ALL_VISIBLE

    assert min(world.receive_counts()) > 8
    assert world.query("SELECT reason FROM pipeline.quarantine") == [("not_json",)]


def test_a_row_that_the_table_refuses_alone_is_its_own_fault_where_others_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 52: it had no turn before, because the runs ended for another cause."""
    world.send([POISON])
    with monkeypatch.context() as patched:
        _read_until_poison(patched, ValueError())
        for _ in range(4):
            assert not world.run().success
            world.clock.now += ALL_VISIBLE
    world.query("ALTER TABLE user_logins ADD CONSTRAINT healthy CHECK (user_id <> 'poison')")
    world.send([json.dumps(login(user_id="sound"))])

    assert world.run().success

    assert world.query("SELECT user_id FROM user_logins") == [("sound",)]
    assert world.query("SELECT reason FROM pipeline.quarantine") == [("refused_by_database",)]
    assert world.depth() == (0, 0)


def _run(ports: stages.Ports) -> None:
    """The stages of a run, in their order."""
    hand = stages.load(stages.mask(stages.extract(USER_LOGINS, ports)), "run-1")
    stages.acknowledge(hand)
    stages.isolate(hand, "run-1")


def _delivered(times: int, count: int) -> list[Message]:
    """Messages that were delivered so often, with the ids 0, 1, 2 and so on."""
    return [message("{}", message_id=str(n), receive_count=times) for n in range(count)]


def _left_after(rounds: int, messages: list[Message], killers: set[str]) -> list[Message]:
    """What is still on the queue after so many runs, each of which one of the killers has ended."""
    for _ in range(rounds):
        sound, suspects = part(USER_LOGINS, messages)
        assert not sound
        left = list(suspects)
        for portion in portions(USER_LOGINS, suspects):
            if killers.intersection(each.message_id for each in portion):
                break
            del left[: len(portion)]
        messages = [replace(each, receive_count=each.receive_count + 1) for each in left]
    return messages


def _sizes(parts: Iterable[Sequence[Message]]) -> dict[int, list[int]]:
    """How large the portions are, by the deliveries of their messages."""
    sizes: dict[int, list[int]] = {}
    for each in parts:
        sizes.setdefault(each[0].receive_count, []).append(len(each))
    return sizes


def _read_until_poison(monkeypatch: pytest.MonkeyPatch, end: BaseException) -> None:
    """Makes the decoder raise at one message, before it has looked at it."""

    def read(self: Decoder, body: str, sent_at: datetime) -> Row:
        if body == POISON:
            raise end
        return _read(self, body, sent_at)

    monkeypatch.setattr(Decoder, "decode", read)
