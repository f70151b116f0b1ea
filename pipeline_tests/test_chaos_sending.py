"""What chaos sends, how it logs what it is told, and that its processes are seen and ended."""

import itertools
import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chaos.accepted import AcceptedLog, Answer, read_logs
from chaos.feed import chaos_feeds
from chaos.identity import Mark, identity_of
from chaos.processes import Process, listed
from chaos.queue_faults import DOWN, EXPIRED, RULES
from chaos.senders import OverSqs, Sender
from chaos.traffic import Parcel, Traffic
from pipeline.consume.settlement import decode_batch
from pipeline.errors import QueueUnreachable
from pipeline.local.queue.faults import Rule
from pipeline.messages import Event, Refusals, Sent
from pipeline.reasons import Reason
from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.samples import KEYRING, eventually, message

FEED = chaos_feeds()[0]
SECRET = KEYRING.settlement_key(FEED.name)
COUNT = 4_000


def traffic(canaries: Canaries, *, seed: int = 1, prefix: str = "") -> Traffic:
    rng = random.Random(seed)  # noqa: S311 - sample data
    return Traffic(FEED, canaries, identity_of(FEED, SECRET), first=0, prefix=prefix, rng=rng)


def parcels(canaries: Canaries) -> list[Parcel]:
    return list(itertools.islice(traffic(canaries), COUNT))


def test_every_personal_field_holds_a_canary(canaries: Canaries) -> None:
    personal = {each.path for each in FEED.fields if each.personal}
    assert personal == {"user_id", "ip", "device_id"}
    whole = msgspec.json.decode(next(iter(traffic(canaries))).event.body, type=dict[str, object])
    for field, needles in (
        ("user_id", canaries.user_needles()),
        ("ip", canaries.masked_needles()),
        ("device_id", canaries.masked_needles()),
    ):
        assert found_in(str(whole[field]).encode(), needles), field


def test_of_a_hundred_five_come_twice_and_one_is_hostile(canaries: Canaries) -> None:
    sent = parcels(canaries)
    times = Counter((each.number, each.place) for each in sent)
    again = sum(count - 1 for count in times.values())
    conflicts = sum(place % 2 for _, place in times)
    decoded = decode_batch(
        FEED, [message(each.event.body, event_id=each.event.event_id) for each in sent], SECRET
    )
    reasons = Counter(reject.reason for reject in decoded.rejects)
    assert 0.04 * COUNT < again < 0.06 * COUNT
    assert 0.001 * COUNT < conflicts == reasons.pop(Reason.CONFLICT) < 0.006 * COUNT
    assert 0.004 * COUNT < reasons.total() < 0.011 * COUNT
    assert len(reasons) > 5


def test_a_way_on_which_a_list_is_a_batch_sends_no_list(canaries: Canaries) -> None:
    rng = random.Random(1)  # noqa: S311 - sample data
    identity = identity_of(FEED, SECRET)
    sound = frozenset({Reason.NOT_AN_OBJECT})
    ours = Traffic(FEED, canaries, identity, first=0, prefix="", sound=sound, rng=rng)
    sent = itertools.islice(ours, COUNT)
    assert not any(each.event.body.startswith("[") for each in sent)


def test_a_seed_gives_the_same_traffic(canaries: Canaries) -> None:
    one, same, other = (traffic(canaries, seed=seed) for seed in (1, 1, 2))
    first, again, another = (list(itertools.islice(each, 50)) for each in (one, same, other))
    assert first == again
    assert first != another


def test_the_mark_is_what_a_run_will_know_the_message_by(canaries: Canaries) -> None:
    parcel = next(iter(traffic(canaries, prefix="rest:local:")))
    event_id = f"rest:local:{parcel.event.event_id}"
    (entry,) = decode_batch(FEED, [message(parcel.event.body, event_id=event_id)], SECRET).entries
    assert (parcel.mark.key, parcel.mark.content) == (entry.key, entry.content)


class Queue:
    """Takes every second event, fails every third call, and stops the sender after some."""

    def __init__(self) -> None:
        self.calls = 0
        self.taken: list[str] = []

    def send(self, events: Sequence[Event]) -> Sent:
        self.calls += 1
        if self.calls % 3 == 0:
            raise QueueUnreachable("it does not answer", remedy="none")
        taken = [place % 2 == 0 for place in range(len(events))]
        self.taken += [event.event_id for event, yes in zip(events, taken, strict=True) if yes]
        return Sent(tuple("id" if yes else None for yes in taken), Refusals())


def test_only_what_the_queue_confirmed_counts_as_accepted(
    canaries: Canaries, tmp_path: Path
) -> None:
    queue = Queue()
    log = AcceptedLog(tmp_path / "log")
    sender = Sender(OverSqs(queue), traffic(canaries), log, rate=1e6)
    sender.start()
    eventually(lambda: queue.calls > 20)
    sender.stop()
    assert sender.failure is None
    records = list(read_logs([tmp_path / "log"]))
    accepted = [each for each in records if each.answer is Answer.ACCEPTED]
    assert [f"chaos-{each.number}" for each in accepted] == queue.taken
    assert log.counts == Counter(each.answer for each in records)
    seen = Counter((each.number, each.place) for each in records)
    assert max(seen.values()) > 1  # what was not confirmed is sent again


def test_the_rules_are_ones_that_the_queue_takes() -> None:
    for rules in (RULES, DOWN, EXPIRED):
        assert msgspec.json.decode(msgspec.json.encode(rules), type=list[Rule]) == list(rules)


def test_a_process_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    child = "import time; time.sleep(600)"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print('ready', flush=True)\ntime.sleep(600)\n"
    )
    said = tmp_path / "said"
    process = Process([sys.executable, "-c", parent], {}, tmp_path, said)

    def alive() -> int:
        return sum(each.group in process.groups for each in listed())

    process.start()
    eventually(lambda: said.read_text() == "ready\n")
    process.kill(signal.SIGKILL)
    assert (process.is_alive(), alive()) == (False, 1)
    process.start()
    eventually(lambda: said.read_text() == "ready\n" * 2)
    assert alive() == 3
    process.end()
    eventually(lambda: alive() == 0)


def test_a_mark_depends_on_event_and_content() -> None:
    identity = identity_of(FEED, SECRET)
    one = Mark.of(identity, "a", "1")
    assert one == Mark.of(identity, "a", "1")
    assert one.key == Mark.of(identity, "a", "2").key
    assert one.quarantine != Mark.of(identity, "a", "2").quarantine
    assert one.key != Mark.of(identity, "b", "1").key
