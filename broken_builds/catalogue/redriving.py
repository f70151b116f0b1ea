"""Builds that lose, double or let somebody see what is quarantined or a dead letter."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_COPYING: Final = "pipeline/operate/dead_letters/copying.py"
_ORDER: Final = "pipeline/operate/dead_letters/order.py"
_LETTERS: Final = "pipeline/operate/dead_letters/redrive.py"
_REDRIVING: Final = "pipeline/operate/quarantine/redriving.py"
_JOBS: Final = "pipeline/operate/quarantine/jobs.py"
_HANDLING: Final = "pipeline/warehouse/migrations/versions/v0004_handling.py"

BUILDS: Final = (
    Build.of(
        "letters-deleted-before-they-are-sent",
        "deletes dead letters, then sends them to the feed's queue",
        Oracle.LOSS,
        test="test_dead_letters_redrive.py::test_when_the_feeds_queue_refuses_the_letters_stay",
        edits=(
            Edit(
                _COPYING,
                "        sent = dispatch(self._queue.source, portion)\n",
                "        self._delete([waiting[id(event)][1] for event in portion])\n"
                "        sent = dispatch(self._queue.source, portion)\n",
            ),
        ),
    ),
    Build.of(
        "letters-sent-in-part",
        "deletes dead letters that the feed's queue has refused",
        Oracle.LOSS,
        test="test_dead_letters_redrive.py"
        "::test_what_the_feeds_queue_refuses_in_part_stays_a_dead_letter",
        edits=(
            Edit(
                _COPYING,
                "waiting.pop(id(event))[1] for event, taken in pairs if taken is not None]",
                "waiting[id(event)][1] for event, _ in pairs]",
            ),
        ),
    ),
    Build.of(
        "letters-under-a-new-identity",
        "sends dead letters again without saying who they were",
        Oracle.DOUBLE,
        test="test_dead_letters_redrive.py"
        "::test_what_is_copied_is_loaded_once_under_the_day_of_its_first_sending",
        edits=(
            Edit(
                "pipeline/consume/origin.py",
                '        origin=f"{claim} {_sign(claim, message, secret)}",\n',
                "",
            ),
        ),
    ),
    Build.of(
        "letters-of-others",
        "redrives from a dead-letter queue that another feed's queue shares",
        Oracle.ISOLATION,
        test="test_dead_letters_redrive.py"
        "::test_letters_of_another_queue_are_never_put_on_this_one",
        edits=(Edit(_LETTERS, "    queue.check_unshared()\n", ""),),
    ),
    Build.of(
        "letters-moved-with-their-dates",
        "lets SQS move the letters of a feed whose dates are those of their sending",
        Oracle.DOUBLE,
        test="test_dead_letters_redrive.py"
        "::test_a_move_is_refused_where_a_date_or_an_identity_would_change",
        edits=(
            Edit(
                _ORDER,
                "    if not feed.key or any(each.path == SENT_AT for each in feed.fields):\n",
                "    if not feed.key and not any(each.path == SENT_AT for each in feed.fields):\n",
            ),
        ),
    ),
    Build.of(
        "letters-without-a-record",
        "redrives dead letters, and records it afterwards only",
        Oracle.ACCOUNT,
        test="test_dead_letters_redrive.py::test_it_is_recorded_before_and_after",
        edits=(Edit(_LETTERS, '    _record(outside, order, "redrive dead letters", told)\n', ""),),
    ),
    Build.of(
        "letters-without-a-rate",
        "redrives dead letters as fast as it can",
        Oracle.RECOVERY,
        test="test_dead_letters_redrive.py::test_it_keeps_to_its_rate",
        edits=(
            Edit(
                _COPYING,
                "                due = began + (self._done - before) / rate\n",
                "                due = began\n",
            ),
        ),
    ),
    Build.of(
        "letters-without-a-stop",
        "redrives dead letters to the end, though it is told to stop",
        Oracle.RECOVERY,
        test="test_dead_letters_redrive.py"
        "::test_it_ends_after_the_portion_in_hand_where_it_is_told_to",
        edits=(
            Edit(
                _COPYING,
                "                if stop.wait(max(0.0, due - time.monotonic())):\n"
                "                    return\n",
                "                time.sleep(max(0.0, due - time.monotonic()))\n",
            ),
        ),
    ),
    Build.of(
        "look-at-letters-keeps-them",
        "looks at dead letters, and leaves them hidden",
        Oracle.ERROR,
        test="test_dead_letters.py::test_letters_are_counted_aged_and_left_where_they_are",
        edits=(
            Edit(
                "pipeline/operate/dead_letters/look.py",
                "                queue.hide(found[start : start + _TEN], 0)\n",
                "                pass\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-left-before-the-sending",
        "commits that messages have left the quarantine, then sends them",
        Oracle.LOSS,
        test="test_quarantine_redrive.py"
        "::test_a_queue_that_does_not_answer_takes_nothing_from_the_quarantine",
        edits=(
            Edit(
                _REDRIVING,
                "        if taken:\n"
                "            quarantine.settle(connection, asked, courier.send(taken))\n",
                "        if taken:\n"
                "            quarantine.settle(connection, asked, [each.key for each in taken])\n"
                "    if taken:\n"
                "        courier.send(taken)\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-left-after-the-sending",
        "sends messages, then takes them out of the quarantine in another transaction",
        Oracle.LOSS,
        test="test_quarantine_redrive.py"
        "::test_what_is_refused_again_before_the_redrive_has_committed_is_kept",
        edits=(
            Edit(
                _REDRIVING,
                "    with audit.refusals(), connection.transaction():\n"
                "        taken = quarantine.take(connection, asked, beyond)\n"
                "        if taken:\n"
                "            quarantine.settle(connection, asked, courier.send(taken))\n",
                "    with audit.refusals(), connection.transaction(force_rollback=True):\n"
                "        taken = quarantine.take(connection, asked, beyond)\n"
                "    sent = courier.send(taken)\n"
                "    with audit.refusals(), connection.transaction():\n"
                "        quarantine.take(connection, asked, beyond)\n"
                "        quarantine.settle(connection, asked, sent)\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-left-by-what-was-refused",
        "takes out of the quarantine what SQS did not take",
        Oracle.LOSS,
        test="test_quarantine_redrive.py::test_what_the_queue_refuses_lies_where_it_lay",
        edits=(
            Edit(
                _REDRIVING,
                "            quarantine.settle(connection, asked, courier.send(taken))\n",
                "            courier.send(taken)\n"
                "            quarantine.settle(connection, asked, [each.key for each in taken])\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-left-by-what-was-refused-in-part",
        "takes a call of which SQS has refused a part for one that it has taken",
        Oracle.LOSS,
        test="test_quarantine_redrive.py::test_what_the_queue_refuses_in_part_lies_where_it_lay",
        edits=(
            Edit(
                _REDRIVING,
                "                id(event) for event, name in"
                " zip(portion, answer.message_ids, strict=True) if name\n",
                "                id(event) for event in portion if answer.message_ids\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-taken-and-forgotten",
        "lets a client take messages out, and neither send them nor put them back",
        Oracle.LOSS,
        test="test_quarantine_functions.py"
        "::TestTaking::test_what_is_neither_sent_nor_put_back_is_never_gone",
        edits=(
            Edit(
                _HANDLING,
                "(_TABLES, _NOTHING_STAYS_TAKEN, _REQUESTS, _LOOKING, _CHOOSING)",
                "(_TABLES, _REQUESTS, _LOOKING, _CHOOSING)",
            ),
        ),
    ),
    Build.of(
        "quarantine-taken-twice",
        "lets two who redrive at once take the same messages",
        Oracle.ERROR,
        test="test_quarantine_functions.py"
        "::TestTaking::test_two_who_redrive_at_once_share_the_work",
        edits=(Edit(_HANDLING, " FOR UPDATE SKIP LOCKED;", " FOR UPDATE;"),),
    ),
    Build.of(
        "quarantine-by-anybodys-request",
        "opens and takes by a request that somebody else has made",
        Oracle.PRIVACY,
        test="test_quarantine_functions.py"
        "::TestOpening::test_a_request_serves_only_whoever_made_it",
        edits=(Edit(_HANDLING, "\n      AND asked.db_user = session_user\n", "\n"),),
    ),
    Build.of(
        "quarantine-before-its-record",
        "opens and takes by a request that may yet be undone",
        Oracle.PRIVACY,
        test="test_quarantine_functions.py"
        "::TestOpening::test_a_request_is_committed_before_anything_is_opened_or_taken",
        edits=(
            Edit(
                _HANDLING,
                "    IF made.transaction = pg_current_xact_id() THEN\n",
                "    IF false THEN\n",
            ),
        ),
    ),
    Build.of(
        "quarantine-purged-by-a-dry-run",
        "destroys what it was only to count",
        Oracle.LOSS,
        test="test_quarantine_jobs.py::test_a_purge_first_only_counts",
        edits=(
            Edit(
                _JOBS,
                '            if given["dry_run"]:\n'
                "                return\n"
                "            tell = seldom(",
                "            tell = seldom(",
            ),
        ),
    ),
    Build.of(
        "quarantine-for-any-reason",
        "keeps whatever stands in a reason for as long as the audit is kept",
        Oracle.PRIVACY,
        test="test_quarantine_jobs.py::test_a_reason_that_looks_personal_is_not_kept",
        edits=tuple(
            Edit(
                _JOBS,
                f'stage="{stage}"):\n            why, name = check_reason(given["reason"]), ',
                f'stage="{stage}"):\n            why, name = given["reason"], ',
            )
            for stage in ("look", "redrive", "purge")
        ),
    ),
    Build.of(
        "quarantine-without-a-rate",
        "redrives the quarantine as fast as it can",
        Oracle.RECOVERY,
        test="test_quarantine_redrive.py::test_it_keeps_to_its_rate",
        edits=(
            Edit(
                _REDRIVING,
                "            time.sleep(max(0.0, began + len(taken) / order.rate"
                " - time.monotonic()))\n",
                "",
            ),
        ),
    ),
)
"""What they have in common: what was set aside does not come back as what it was."""
