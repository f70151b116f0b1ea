"""Builds that acknowledge, release or hold what they should not."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_SIMULATION: Final = "test_simulation.py::test_every_property_holds_in_every_schedule[0]"
_HELD: Final = "pipeline/consume/held.py"
_STAGES: Final = "pipeline/consume/stages.py"
_RECEIVE: Final = "pipeline/consume/receive.py"

BUILDS: Final = (
    Build.of(
        "acknowledge-first",
        "acknowledges a batch, then loads it",
        Oracle.COMMIT,
        test=_SIMULATION,
        edits=(
            Edit(
                _STAGES,
                "    account = settle(task, ports.warehouse",
                "    hand.held.acknowledge(keep=hand.suspects)\n"
                "    account = settle(task, ports.warehouse",
            ),
        ),
    ),
    Build.of(
        "acknowledge-on-failure",
        "acknowledges a batch that has failed, so that it does not come again",
        Oracle.LOSS,
        test=_SIMULATION,
        edits=(
            Edit(
                _HELD,
                '_log.warning("released %d of %d messages; all come again", self.release(), held)',
                '_log.warning("dropped %d of %d messages", held - self.acknowledge(), held)',
            ),
        ),
    ),
    Build.of(
        "acknowledge-failed-portions",
        "acknowledges all suspects where some of their portions have failed",
        Oracle.COMMIT,
        test="test_suspects.py::test_a_bug_that_one_message_meets_costs_only_that_message",
        edits=(
            Edit(
                _STAGES,
                "                hand.held.give_back(portion)\n",
                "                hand.held.acknowledge(keep=left)\n",
            ),
        ),
    ),
    Build.of(
        "delete-on-commit-error",
        "acknowledges where the answer to the commit was lost",
        Oracle.COMMIT,
        test=_SIMULATION,
        edits=(
            Edit(
                _STAGES,
                "    account = settle(task, ports.warehouse, ports.clock, chance=ports.chance,"
                " rejected=tell)\n",
                "    try:\n"
                "        account = settle(task, ports.warehouse, ports.clock,"
                " chance=ports.chance)\n"
                "    except PipelineError:\n"
                "        hand.held.acknowledge()\n"
                "        raise\n",
            ),
        ),
    ),
    Build.of(
        "release-deletes",
        "deletes what it should give back",
        Oracle.LOSS,
        test="test_asset_failures.py"
        "::test_a_warehouse_that_goes_down_before_the_load_gives_everything_back",
        edits=(
            Edit(
                _HELD,
                "            refusals = self._queue.hide(messages, seconds)\n",
                "            refusals = (\n"
                "                self._queue.hide(messages, seconds)\n"
                "                if seconds == self._limits.visibility_seconds\n"
                "                else self._queue.delete(messages)\n"
                "            )\n",
            ),
        ),
    ),
    Build.of(
        "repeats-forgotten",
        "gives back the first delivery of what came twice in a batch, and deletes the second",
        Oracle.LOSS,
        test="test_enrich_held.py"
        "::test_what_came_twice_within_a_batch_is_released_with_both_receipts",
        edits=(
            Edit(
                "pipeline/consume/batch.py",
                "        return (entry.message, *self.repeats.get(entry.key, ()))\n",
                "        return (entry.message,)\n",
            ),
        ),
    ),
    Build.of(
        "release-without-back-off",
        "gives everything back at once, to fail again at once",
        Oracle.RECOVERY,
        test="test_held_ends.py::TestReleasing::test_the_pause_grows_with_the_deliveries",
        edits=(
            Edit(
                _HELD,
                "    return min(_FIRST_RELEASE << max(receive_count - 1, 0), _LONGEST_RELEASE)\n",
                "    return 0\n",
            ),
        ),
    ),
    Build.of(
        "interrupted-without-release",
        "gives nothing back where somebody interrupts the run",
        Oracle.RECOVERY,
        test="test_held_ends.py::TestReleasing::test_a_failing_block_releases",
        edits=(
            Edit(
                _HELD,
                "        except BaseException:\n            held",
                "        except Exception:\n            held",
            ),
        ),
    ),
    Build.of(
        "release-of-others",
        "keeps one list of held messages for all runs: one that fails releases another's",
        Oracle.ISOLATION,
        test=_SIMULATION,
        edits=(
            Edit(
                _HELD,
                "class Held:\n",
                "_EVERYBODYS: dict[str, Message] = {}\n\n\nclass Held:\n",
            ),
            Edit(
                _HELD,
                "        self._messages: dict[str, Message] = {}\n",
                "        self._messages = _EVERYBODYS\n",
            ),
        ),
    ),
    Build.of(
        "no-heartbeat",
        "lets the visibility of what it holds run out",
        Oracle.ISOLATION,
        test=_SIMULATION,
        edits=(Edit(_HELD, "        self._extend(now - self._half * 3 / 4)\n", ""),),
    ),
    Build.of(
        "heartbeat-of-a-stale-list",
        "goes on extending what has been deleted or given back",
        Oracle.RECOVERY,
        test="test_held.py"
        "::TestGivingBack::test_the_heart_goes_on_for_what_is_still_held_and_only_for_that",
        edits=(
            Edit(
                _HELD,
                "        self._messages: dict[str, Message] = {}\n",
                "        self._messages: dict[str, Message] = {}\n"
                "        self._all_that_came: dict[str, Message] = {}\n",
            ),
            Edit(
                _HELD,
                "                self._messages[message.receipt] = message\n",
                "                self._messages[message.receipt] = message\n"
                "                self._all_that_came[message.receipt] = message\n",
            ),
            Edit(
                _HELD,
                "                self._messages[receipt]\n",
                "                self._all_that_came[receipt]\n",
            ),
            Edit(_HELD, "        self._hidden_at.pop(message.receipt, None)\n", ""),
        ),
    ),
    Build.of(
        "holds-for-ever",
        "never lets go of what it holds, however long it hangs",
        Oracle.RECOVERY,
        test="test_held.py::TestHeartbeat::test_a_run_that_hangs_lets_go",
        edits=(Edit(_HELD, "        if now > self._last:\n", "        if now < 0:\n"),),
    ),
    Build.of(
        "partial-refusal-ignored",
        "takes what SQS did not delete for deleted",
        Oracle.RECOVERY,
        test="test_faults_delivery.py::TestAcknowledging::test_what_is_refused_for_now_is_tried_again",
        edits=(Edit(_HELD, "                again += refusals.retry\n", ""),),
    ),
    Build.of(
        "final-refusal-retried",
        "tries again what SQS refused for good, as if it were to pass",
        Oracle.ERROR,
        test="test_faults_delivery.py::TestAcknowledging::test_what_is_refused_for_good_is_not_tried_again",
        edits=(
            Edit(
                _HELD,
                "                again += refusals.retry\n",
                "                again += (*refusals.retry, *refusals.final)\n",
            ),
        ),
    ),
    Build.of(
        "empty-answer-means-drained",
        "ends a batch at the first empty answer of SQS",
        Oracle.RECOVERY,
        test="test_faults_delivery.py::test_answers_with_less_than_waits_do_not_end_a_batch",
        edits=(Edit(_RECEIVE, "_EMPTY_ANSWERS = 2\n", "_EMPTY_ANSWERS = 1\n"),),
    ),
    Build.of(
        "damaged-body-taken",
        "takes a body that was damaged on its way for what was sent",
        Oracle.LOSS,
        test="test_sqs.py::TestMessages"
        "::test_a_body_that_was_damaged_on_its_way_is_left_to_come_again",
        edits=(
            Edit(
                "pipeline/resources/sqs.py",
                "        whole = [each for each in messages if _is_whole(each)]\n",
                "        whole = messages\n",
            ),
        ),
    ),
    Build.of(
        "received-out-of-care",
        "takes received messages into care only once the batch is whole",
        Oracle.RECOVERY,
        test="test_receive.py::TestErrors::test_the_others_end_and_everything_stays_in_care",
        edits=(
            Edit(_RECEIVE, "            held.add(outcome)\n", ""),
            Edit(
                _RECEIVE,
                "    return Received(drain.messages",
                "    held.add(drain.messages)\n    return Received(drain.messages",
            ),
        ),
    ),
)
"""What they have in common: the queue is told something that is not so."""
