"""A record is asked for once and sent once; what has not changed is neither."""

import json
from dataclasses import replace

import pytest

from pipeline.decode import Decoder
from pipeline.errors import FetchBusy, QueueError, QueueMissing
from pipeline.local.queue.faults import Part, Rule
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.server import create_app
from pipeline.produce.fetch import ledger
from pipeline.produce.fetch.fetched import Fetched
from pipeline.produce.fetch.ledger import Counts
from pipeline.resources.sqs_client import Endpoint
from pipeline_tests.fetch_case import FEED, QUICK, STALE, Case, path, paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.outside_world import ask
from pipeline_tests.queue_fixtures import FreshApp, new_queues
from pipeline_tests.samples import decode
from pipeline_tests.upstream import Reply, Request, Upstream, pokemon

SPARSE = [*range(1, 26), *range(10_001, 10_006)]  # ids that are not dense
EIGHT = range(1, 9)  # as many as one call of SQS takes


def test_every_record_of_the_list_is_asked_for_once_and_sent_once(case_of: MakeCase) -> None:
    case = case_of(Upstream(SPARSE))
    done = case.fetch()
    assert (done.planned, done.requested, done.sent, done.failed) == (30, 30, 30, 0)
    assert sorted(case.api.asked()) == sorted(paths(SPARSE))
    assert case.sent() == paths(SPARSE)
    assert case.counts() == Counts(sent=30)


def test_what_is_sent_is_what_the_contract_names(case_of: MakeCase) -> None:
    case = case_of(Upstream())
    case.api.records[7] = pokemon(7, height=7, weight=3, base_experience=None)
    case.fetch()
    [(_, body)] = case.events()
    assert json.loads(body) == {
        "id": 7,
        "name": "pokemon-7",
        "height": 0.7,
        "weight": 0.3,
        "types": ["grass"],
        "base_experience": None,
    }
    assert decode(Decoder(FEED), body).unknown == 0


def test_the_ranges_of_a_list_have_all_of_it_and_nothing_twice(case_of: MakeCase) -> None:
    case = case_of(Upstream(range(1, 96)))
    done = case.fetch_all()
    assert done.requested == done.sent == 95
    assert case.sent() == paths(range(1, 96))


class TestSecondRun:
    """What is asked for again."""

    def test_right_after_the_first_no_record_is_asked_for(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(SPARSE))
        case.fetch()
        case.api.forget()
        done = case.fetch()
        assert case.api.asked() == []
        assert all("if-none-match" in each.headers for each in case.api.requests)
        assert (done.requested, done.sent) == (0, 0)

    def test_a_new_record_is_the_only_one_that_is_asked_for(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(SPARSE))
        case.fetch()
        case.api.forget()
        case.api.records[10_006] = pokemon(10_006)
        case.fetch()
        assert case.api.asked() == [path(10_006)]
        assert case.sent() == paths([*SPARSE, 10_006])

    def test_a_stale_record_that_is_unchanged_costs_an_empty_answer(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))
        case.fetch()
        before = case.ledger("checked_at, sent_at")
        done = case.fetch(STALE)
        assert (done.requested, done.unchanged, done.sent) == (30, 30, 0)
        after = case.ledger("checked_at, sent_at")
        assert all(
            new[0] > old[0] and new[1] == old[1] for old, new in zip(before, after, strict=True)
        )
        assert case.sent() == paths(SPARSE)

    def test_a_changed_record_is_a_new_event(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(SPARSE))
        case.fetch()
        case.api.records[5] = pokemon(5, weight=70)
        done = case.fetch(STALE)
        assert (done.unchanged, done.sent) == (29, 1)
        assert case.sent() == paths(SPARSE) + paths([5])
        assert len({event_id for event_id, _ in case.events()}) == 31

    def test_a_record_that_becomes_what_it_was_is_a_new_event_too(self, case_of: MakeCase) -> None:
        """Else the table's latest row would be the one in between."""
        case = case_of(Upstream([1]))
        for weight in (10, 20, 10):
            case.api.records[1] = pokemon(1, weight=weight)
            case.fetch(STALE)
        assert [json.loads(body)["weight"] for _, body in case.events()] == [1.0, 2.0, 1.0]
        assert len({event_id for event_id, _ in case.events()}) == 3

    def test_a_change_that_the_contract_does_not_name_is_none(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        case.fetch()
        case.api.records[1] = pokemon(1, moves=[])
        done = case.fetch(STALE)
        assert (done.unchanged, done.sent) == (1, 0)
        case.api.forget()
        assert case.fetch(STALE).unchanged == 1  # and its tag was noted
        assert len(case.events()) == 1

    def test_an_api_without_tags_is_read_in_full_and_nothing_is_sent_twice(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))
        case.api.tags = False
        case.fetch()
        done = case.fetch(STALE)
        assert (done.unchanged, done.sent) == (30, 0)
        assert case.sent() == paths(SPARSE)

    def test_a_record_that_upstream_deleted_is_gone_and_comes_back(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(SPARSE))
        case.fetch()
        taken = case.api.records.pop(5)
        assert case.fetch(STALE).gone == 1
        assert case.counts() == Counts(sent=29, gone=1)
        case.api.records[5] = taken
        case.fetch(STALE)
        assert case.counts() == Counts(sent=30)
        assert case.sent() == paths(SPARSE)  # unchanged meanwhile

    def test_one_that_is_gone_and_still_listed_is_asked_for_in_its_time(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))
        case.fetch()
        case.api.at(path(5), Reply(status=404))
        assert case.fetch(STALE).gone == 1
        case.api.forget()
        case.fetch()
        assert case.api.asked() == []
        assert case.counts() == Counts(sent=29, gone=1)
        assert case.fetch(STALE).gone == 1


class TestFailed:
    """What came to nothing stays visible, and is tried again when somebody says so."""

    def test_past_the_attempts_a_record_is_failed_and_the_others_are_sent(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))
        case.api.at(path(3), Reply(status=500))
        done = case.fetch()
        assert (done.sent, done.failed, done.requested) == (29, 1, 32)
        [failure] = case.failures()
        assert (failure.item, failure.attempts, failure.reason) == (path(3), 3, "http_500")
        case.api.forget()
        assert case.fetch().requested == 0

    def test_it_is_tried_again_and_then_sent_once(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(SPARSE))
        case.api.at(path(3), Reply(status=500))
        case.fetch()
        case.api.forget()
        assert case.retry().failed == 1
        case.api.hooks.clear()
        case.api.forget()
        done = case.retry()
        assert (done.planned, done.requested, done.sent, done.failed) == (1, 1, 1, 0)
        assert case.api.pages() == []
        assert case.sent() == paths(SPARSE)
        assert case.counts() == Counts(sent=30)
        assert case.retry() == Fetched()

    def test_after_its_time_a_run_tries_it_by_itself(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(SPARSE))
        case.api.at(path(3), Reply(status=500))
        case.fetch()
        case.api.hooks.clear()
        case.fetch(STALE)
        assert case.counts() == Counts(sent=30)

    @pytest.mark.parametrize("state", ["planned", "fetched"])
    def test_what_a_run_left_behind_is_finished_too(self, state: str, case_of: MakeCase) -> None:
        """Of a range that is no more, because somebody cut the list anew."""
        case = case_of(Upstream(SPARSE))
        case.fetch()
        ask(case.url, f"UPDATE pipeline.fetch SET state = '{state}', range = 'cut otherwise then'")
        assert case.retry().planned == 30
        assert case.counts() == Counts(sent=30)


class TestTogether:
    """Several at work."""

    def test_a_second_fetcher_of_a_range_is_stopped(self, case_of: MakeCase) -> None:
        """Fault 82."""
        case = case_of(Upstream(SPARSE))
        with ledger.opened(case.reach, QUICK) as other:
            other.lock("0000000-0000040")
            with pytest.raises(FetchBusy, match="another fetcher works on this range"):
                case.fetch()
        assert case.api.requests == []
        assert case.fetch().sent == 30

    def test_records_that_another_range_is_at_work_on_are_left_to_it(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))
        with ledger.opened(case.reach, QUICK) as other:
            other.lock("another")
            other.plan("another", [path(5), path(6)])
            assert case.fetch().sent == 28
        assert case.counts() == Counts(planned=2, sent=28)
        assert case.fetch().sent == 2  # it died

    def test_requests_are_under_way_side_by_side_and_no_more_than_allowed(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))
        told: list[Fetched] = []
        case.fetch(replace(QUICK, concurrency=1), tell=told.append)
        assert told[-1].sent == 30
        # One record at a time, and ten to a call: never more than that is held.
        held = [each.requested - each.sent for each in told]
        assert max(held) == 10


class TestQueue:
    """What SQS does not take is not noted as sent."""

    def test_without_a_queue_nothing_is_asked_for(self, case_of: MakeCase) -> None:
        """Fault 77: the ledger does not move."""
        case = case_of(Upstream(SPARSE))
        case.fetch()
        nowhere = Endpoint("http://127.0.0.1:1", embedded=True)
        lost = replace(case.reach, outside=replace(case.reach.outside, endpoint=nowhere))
        case.api.forget()
        with pytest.raises(Exception, match="does not answer"):
            Case(case.api, lost, case.sqs).fetch(STALE)
        assert case.api.requests == []

    def test_a_queue_that_goes_away_ends_the_run_and_nothing_is_noted_as_sent(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(SPARSE))

        def go_away(request: Request) -> None:
            if request.path == path(1):  # the first of them
                queue = case.sqs.get_queue_url(QueueName=FEED.queue)["QueueUrl"]
                case.sqs.delete_queue(QueueUrl=queue)

        case.api.hooks.append(go_away)
        with pytest.raises(QueueMissing):
            case.fetch()
        counts = case.counts()
        assert (counts.sent, counts.failed, counts.there) == (0, 0, 30)

    def test_what_sqs_refuses_for_good_has_failed_and_its_neighbours_are_sent(
        self, case_of: MakeCase, queue_server: tuple[str, FreshApp]
    ) -> None:
        case = case_of(Upstream(EIGHT))
        refuse_one(queue_server[1], Part("InvalidMessageContents", sender_fault=True, share=0), 1)
        done = case.fetch()
        assert (done.sent, done.failed) == (7, 1)
        assert list(case.reasons().values()) == ["refused_by_queue"]
        assert case.counts() == Counts(sent=7, failed=1)
        assert case.retry().sent == 1
        assert case.sent() == paths(EIGHT)

    def test_what_sqs_refuses_again_and_again_ends_the_run_and_the_next_one_sends_it(
        self, case_of: MakeCase, queue_server: tuple[str, FreshApp]
    ) -> None:
        case = case_of(Upstream(EIGHT))
        refuse_one(queue_server[1], Part("InternalError", share=0), 5)
        with pytest.raises(QueueError, match="refused 1 records again and again"):
            case.fetch()
        assert case.counts() == Counts(fetched=1, sent=7)
        assert case.fetch().sent == 1
        assert case.counts() == Counts(sent=8)
        assert case.sent() == paths(EIGHT)


def refuse_one(app: FreshApp, effect: Part, calls: int) -> None:
    """An empty queue that refuses one entry of each of its first calls that send."""
    rule = Rule("SendMessageBatch", effect, calls=(1, calls))
    app.replace(create_app(new_queues(), Misbehaviour([rule])))
