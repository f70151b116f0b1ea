"""Builds whose producers say that something is on the queue before it is, or although it is not."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_GATHER: Final = "pipeline/produce/rest/gather.py"
_DISPATCH: Final = "pipeline/produce/dispatch.py"
_OUTBOX: Final = "pipeline/produce/fetch/outbox.py"

BUILDS: Final = (
    Build.of(
        "accepted-while-sqs-is-down",
        "answers 202 where the call of SQS has failed",
        Oracle.LOSS,
        test="test_rest_queue_down.py::test_sqs_down_is_503_and_nothing_is_accepted",
        edits=(
            Edit(
                _GATHER,
                "        elif isinstance(error, PipelineError):\n"
                "            for each in portion:\n"
                "                each.order.settle(each.place, Failure.FOR_NOW)\n",
                "        elif isinstance(error, PipelineError):\n"
                "            for each in portion:\n"
                "                each.order.settle(each.place, each.event.event_id)\n",
            ),
        ),
    ),
    Build.of(
        "accepted-though-refused",
        "answers 202 for each record of a call, whatever SQS said of it",
        Oracle.LOSS,
        test="test_rest_gather.py::test_each_record_gets_its_own_outcome",
        edits=(Edit(_GATHER, "message_id or failure)", 'message_id or "taken")'),),
    ),
    Build.of(
        "sent-though-refused",
        "does not send again what SQS has refused for the moment",
        Oracle.LOSS,
        test="test_seed.py::TestPartialFailures::test_what_was_not_taken_is_sent_again",
        edits=(
            Edit(
                _DISPATCH,
                "        again = {id(event) for event in sent.refusals.retry}\n",
                "        again: set[int] = set()\n",
            ),
        ),
    ),
    Build.of(
        "fetched-means-sent",
        "notes a record as sent, then sends it",
        Oracle.LOSS,
        test="test_fetch_runs.py::TestQueue"
        "::test_a_queue_that_goes_away_ends_the_run_and_nothing_is_noted_as_sent",
        edits=(
            Edit(
                _OUTBOX,
                "            sent = dispatch(self._queue, portion)\n",
                "            noted = [versions[each.event_id] for each in portion]\n"
                "            self._ledger.mark_sent(noted)\n"
                "            sent = dispatch(self._queue, portion)\n",
            ),
        ),
    ),
    Build.of(
        "refused-means-sent",
        "notes a fetched record as sent whatever SQS said of it",
        Oracle.LOSS,
        test="test_fetch_runs.py::TestQueue"
        "::test_what_sqs_refuses_again_and_again_ends_the_run_and_the_next_one_sends_it",
        edits=(
            Edit(
                _OUTBOX,
                " for event, message_id in answers if message_id]\n",
                " for event, _ in answers]\n",
            ),
        ),
    ),
)
"""What they have in common: nobody will send again what is not there."""
