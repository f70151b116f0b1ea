"""Builds that take, keep or delete what they should not where batch comes after batch in a run."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_FURTHER: Final = "pipeline/consume/further.py"
_STAGES: Final = "pipeline/consume/stages.py"

BUILDS: Final = (
    Build.of(
        "run-without-end",
        "goes on with batch after batch, past the messages that a run may settle",
        Oracle.RECOVERY,
        test="test_further.py::TestSettling::test_what_a_run_may_not_take_is_left_as_it_was",
        edits=(
            Edit(
                _FURTHER,
                "        return max(0, min(self._most, self._left))\n",
                "        return self._most\n",
            ),
        ),
    ),
    Build.of(
        "receives-after-a-failure",
        "goes on receiving where one of the batches has failed",
        Oracle.RECOVERY,
        test="test_further_ended.py"
        "::TestFailing::test_it_is_released_and_the_one_beside_it_is_finished",
        edits=(
            Edit(
                _FURTHER,
                "            self._budget.end()\n            raise\n",
                "            raise\n",
            ),
        ),
    ),
    Build.of(
        "interrupted-further-batch-kept",
        "keeps a further batch hidden that it gives up because somebody interrupts the run",
        Oracle.RECOVERY,
        test="test_further_ended.py::TestInterrupted"
        "::test_what_is_loaded_is_finished_and_all_else_is_given_back[_close]",
        edits=(
            Edit(
                _FURTHER,
                "        with hand.held.released_on_failure():\n"
                "            if self._over.is_set():\n",
                "        if True:\n            if self._over.is_set():\n",
            ),
        ),
    ),
    Build.of(
        "two-batches-receive-at-once",
        "receives both batches that it may have in hand at the same time",
        Oracle.RECOVERY,
        test="test_further.py::TestSideBySide::test_one_batch_receives_at_a_time",
        edits=(Edit(_FURTHER, "        with self._turn:\n", "        if True:\n"),),
    ),
    Build.of(
        "warehouse-checked-once-a-run",
        "takes a warehouse that was well at the first batch for well at each further one",
        Oracle.RECOVERY,
        test="test_further_ended.py"
        "::TestFailing::test_a_warehouse_that_goes_down_costs_no_further_batch_a_delivery",
        edits=(
            Edit(
                _STAGES,
                "        keyring = ports.warehouse.check()\n",
                "        if over is None or feed.name not in _CHECKED:\n"
                "            _CHECKED[feed.name] = ports.warehouse.check()\n"
                "        keyring = _CHECKED[feed.name]\n",
            ),
            Edit(
                _STAGES,
                "_FAILURES = 3 ",
                "_CHECKED: dict[str, Keyring] = {}\n_FAILURES = 3 ",
            ),
        ),
    ),
    Build.of(
        "acknowledge-further-first",
        "acknowledges a further batch, then loads it",
        Oracle.COMMIT,
        test="test_further.py::TestSettling::test_batch_after_batch_until_nothing_waits",
        edits=(
            Edit(
                _FURTHER,
                "        return finish(stages.load(hand, self._run_id), self._run_id)\n",
                "        stages.acknowledge(hand)\n"
                "        return finish(stages.load(hand, self._run_id), self._run_id)\n",
            ),
        ),
    ),
    Build.of(
        "trickle-waited-for",
        "waits a minute for a full batch while a few messages keep coming",
        Oracle.RECOVERY,
        test="test_receive.py::TestMore::test_a_trickle_ends_a_batch_once_two_seconds_have_passed",
        edits=(
            Edit(
                "pipeline/consume/receive.py",
                "_COMPANY_SECONDS = 2.0\n",
                "_COMPANY_SECONDS = 60.0\n",
            ),
        ),
    ),
)
"""What they have in common: a single batch would be settled as ever."""
