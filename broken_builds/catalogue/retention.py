"""Builds that forget what is still needed, or keep what has to go."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_TABLES: Final = "pipeline/operate/retention/tables.py"
_UPKEEP: Final = "pipeline/warehouse/migrations/versions/v0005_upkeep.py"
_TEST: Final = "test_retention_tables.py"

BUILDS: Final = (
    Build.of(
        "ledger-forgets-too-early",
        "prunes the ledger while SQS may still deliver what it knows",
        Oracle.DOUBLE,
        test=f"{_TEST}::test_a_redelivery_is_a_duplicate_for_as_long_as_there_can_be_one",
        edits=(
            Edit(_UPKEEP, "('ledger', 'settled_at', 28, '')", "('ledger', 'settled_at', 1, '')"),
            Edit(
                _TABLES,
                '        "ledger": retention.ledger_days,',
                '        "ledger": retention.ledger_days // 2,',
            ),
        ),
    ),
    Build.of(
        "no-floor-in-the-database",
        "leaves it to the settings how long the ledger remembers",
        Oracle.DOUBLE,
        test=f"{_TEST}::test_the_database_refuses_less_than_the_floor",
        edits=(
            Edit(_UPKEEP, "    IF (days BETWEEN kept.floor AND 36500)", "    IF (days < 36501)"),
        ),
    ),
    Build.of(
        "no-portions",
        "deletes everything that is old in one transaction",
        Oracle.RECOVERY,
        test=f"{_TEST}::test_many_go_in_portions_each_of_which_commits",
        edits=(Edit(_UPKEEP, "ORDER BY %2$I LIMIT $3 FOR", "ORDER BY %2$I FOR"),),
    ),
    Build.of(
        "one-transaction-for-all-portions",
        "keeps every portion locked until the last one is deleted",
        Oracle.RECOVERY,
        test=f"{_TEST}::test_each_portion_has_committed_before_the_next_one_begins",
        edits=(
            Edit(
                _TABLES,
                "            connection.autocommit = True\n"
                "            schema.upgrade(connection)\n"
                "            yield connection\n",
                "            schema.upgrade(connection)\n"
                "            yield connection\n"
                "            connection.commit()\n",
            ),
        ),
    ),
    Build.of(
        "audit-pruned-without-a-record",
        "takes old records out of the audit, and does not say so there",
        Oracle.ACCOUNT,
        test=f"{_TEST}::test_what_is_older_than_its_days_goes_and_nothing_younger[audit]",
        edits=(
            Edit(
                _UPKEEP,
                "    IF what = 'audit' AND gone > 0 THEN\n",
                "    IF what = 'audit' AND gone < 0 THEN\n",
            ),
        ),
    ),
    Build.of(
        "expired-without-a-note",
        "lets quarantined messages expire, and their batch add up no more",
        Oracle.ACCOUNT,
        test=f"{_TEST}::test_a_message_that_expires_in_the_quarantine_leaves_a_note",
        edits=(
            Edit(
                _UPKEEP,
                "         ', noted AS (INSERT INTO pipeline.quarantine_left"
                " (feed, key, quarantined_at, how)'\n"
                "         ' SELECT feed, key, quarantined_at, ''expired'' FROM gone)'),\n",
                "         ''),\n",
            ),
        ),
    ),
    Build.of(
        "clocks-not-compared",
        "deletes by a clock that may have jumped ahead",
        Oracle.DOUBLE,
        test=f"{_TEST}::test_clocks_that_differ_stop_it",
        edits=(Edit(_TABLES, "        _check_clocks(connection)\n", ""),),
    ),
    Build.of(
        "run-in-progress-deleted",
        "deletes old runs of Dagster whether they are over or not",
        Oracle.RECOVERY,
        test="test_retention_runs.py::test_a_run_that_is_not_over_never_goes",
        edits=(
            Edit(
                "pipeline/operate/retention/runs.py",
                "dg.RunsFilter(statuses=_FINISHED, updated_before=before)",
                "dg.RunsFilter(updated_before=before)",
            ),
        ),
    ),
    Build.of(
        "shown-run-deleted",
        "deletes the run that an asset still shows, and by which it is known",
        Oracle.RECOVERY,
        test="test_retention_runs.py::test_what_an_asset_shows_stays_however_old_it_is",
        edits=(
            Edit(
                "pipeline/operate/retention/runs.py",
                "    shown = _shown(history.instance)\n",
                "    shown: set[str] = set()\n",
            ),
        ),
    ),
)
"""What they have in common: time passes, and the wrong things go."""
