"""Builds that settle a batch wrongly: its rows, its ledger, its account."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_LOAD: Final = "pipeline/consume/load.py"
_WAREHOUSE: Final = "pipeline/consume/postgres_transaction.py"
_FAILURES: Final = "test_load_failures.py"
_OFFENDERS: Final = "test_load_offenders.py"

_COUNTS: Final = "SELECT (SELECT count(*) FROM settled), (SELECT count(*) FROM inserted)\n"

BUILDS: Final = (
    Build.of(
        "no-ledger",
        "loads whatever comes, without asking the ledger",
        Oracle.DOUBLE,
        test="test_load.py::TestTwice::test_a_batch_that_comes_again_is_all_duplicate",
        edits=(
            Edit(
                _WAREHOUSE,
                "FROM pg_temp.incoming JOIN settled ON settled.key = __key\n",
                "FROM pg_temp.incoming WHERE __position >= %(first)s AND __position < %(end)s\n",
            ),
            Edit(_WAREHOUSE, _COUNTS, "SELECT count(*), count(*) FROM inserted\n"),
        ),
    ),
    Build.of(
        "ledger-outside-the-transaction",
        "commits the ledger's entries before the rows",
        Oracle.LOSS,
        test=f"{_FAILURES}::TestBrokenConnections::test_a_connection_that_is_killed_leaves_nothing",
        edits=(
            Edit(_WAREHOUSE, " __content bytea, {}) ON COMMIT DROP", " __content bytea, {})"),
            Edit(
                _WAREHOUSE,
                "        vault.stage(self._connection, self._feed, vault_rows)\n",
                "        fresh = self._connection.execute(\n"
                '            "INSERT INTO pipeline.ledger (feed, key, content)"\n'
                '            " SELECT %s, __key, __content FROM pg_temp.incoming"\n'
                '            " ON CONFLICT DO NOTHING RETURNING key",\n'
                "            (self._feed.name,),\n"
                "        ).fetchall()\n"
                '        self._connection.execute("CREATE TEMPORARY TABLE fresh (key bytea)")\n'
                '        postgres.copy(self._connection, "fresh", fresh)\n'
                "        self._connection.commit()\n"
                "        vault.stage(self._connection, self._feed, vault_rows)\n",
            ),
            Edit(
                _WAREHOUSE,
                "                    INSERT INTO pipeline.ledger (feed, key, content)\n"
                "                    SELECT %(feed)s, __key, __content FROM pg_temp.incoming\n",
                "                    SELECT key FROM pg_temp.incoming JOIN fresh ON key = __key\n",
            ),
            Edit(
                _WAREHOUSE,
                "                    ORDER BY __position\n"
                "                    ON CONFLICT DO NOTHING RETURNING key\n",
                "                    ORDER BY __position\n",
            ),
        ),
    ),
    Build.of(
        "conflict-of-any-kind-ignored",
        "takes every conflict with the table for an event that is there already",
        Oracle.LOSS,
        test=f"{_OFFENDERS}::TestOffenders::test_a_refused_row_is_found_and_its_neighbours_land",
        edits=(
            Edit(
                _WAREHOUSE,
                "                    ORDER BY __position\n                    RETURNING 1\n",
                "                    ORDER BY __position\n"
                "                    ON CONFLICT DO NOTHING RETURNING 1\n",
            ),
            Edit(_LOAD, "        if settled != inserted:\n", "        if False:\n"),
        ),
    ),
    Build.of(
        "refused-at-the-commit",
        "leaves what the table refuses to the commit, which then fails for all",
        Oracle.ISOLATION,
        test=f"{_OFFENDERS}::TestOffenders::test_a_refused_row_is_found_and_its_neighbours_land",
        edits=(
            Edit(
                _WAREHOUSE,
                '        self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")\n',
                "",
            ),
        ),
    ),
    Build.of(
        "not-in-key-order",
        "inserts in the order of arrival: two runs wait for each other in a circle",
        Oracle.RECOVERY,
        test="test_load.py::TestTwice"
        "::test_runs_that_hold_the_same_messages_do_not_wait_in_a_circle",
        edits=(
            Edit(
                _LOAD,
                "sorted(range(len(entries)), key=lambda place: entries[place].key)",
                "list(range(len(entries)))",
            ),
        ),
    ),
    Build.of(
        "account-not-checked",
        "commits a batch of which some messages are nowhere",
        Oracle.ACCOUNT,
        test=f"{_FAILURES}::TestRefusals::test_entries_of_ours_that_vanish_undo_everything",
        edits=(Edit(_LOAD, "        if not account.adds_up:\n", "        if False:\n"),),
    ),
    Build.of(
        "vanished-rows-not-noticed",
        "commits where the table has dropped a row without an error",
        Oracle.LOSS,
        test=f"{_FAILURES}::TestRefusals::test_rows_that_vanish_without_an_error_undo_everything",
        edits=(Edit(_LOAD, "        if settled != inserted:\n", "        if False:\n"),),
    ),
    Build.of(
        "vanished-rejects-not-noticed",
        "takes what the quarantine did not take for a duplicate",
        Oracle.LOSS,
        test=f"{_FAILURES}::TestRefusals::test_entries_of_ours_that_vanish_undo_everything",
        edits=(
            Edit(
                "pipeline/consume/quarantine.py",
                "    if lying != (len(sealed),):\n",
                "    if False:\n",
            ),
        ),
    ),
    Build.of(
        "account-check-that-cannot-fail",
        "shows a check of the account that is always green",
        Oracle.ACCOUNT,
        test="test_asset.py::test_a_check_finds_out_what_was_tampered_with[account_adds_up]",
        edits=(
            Edit(
                "pipeline/consume/checks.py",
                "        received == loaded + duplicate + quarantined + released\n"
                "        and loaded == in_ledger\n"
                "        and quarantined == in_quarantine\n",
                "        loaded == loaded\n",
            ),
        ),
    ),
    Build.of(
        "retry-of-the-commit-alone",
        "tries a lost transaction again without its rows",
        Oracle.LOSS,
        test=f"{_FAILURES}::TestTriedAgain"
        "::test_a_transaction_that_is_lost_at_its_commit_passes_the_next_time",
        edits=(
            Edit(_LOAD, "    attempt = 0\n", "    attempt, account = 0, None\n"),
            Edit(
                _LOAD,
                "                account = settling.settle()\n",
                "                account = account or settling.settle()\n",
            ),
        ),
    ),
    Build.of(
        "retry-of-a-statement-alone",
        "tries a statement that lost again within its transaction",
        Oracle.DOUBLE,
        test=f"{_FAILURES}::TestTriedAgain::test_a_lost_transaction_passes_the_next_time",
        edits=(
            Edit(
                _WAREHOUSE,
                "        except psycopg.Error as error:\n"
                "            if classify(error) is Refusal.ROW:\n",
                "        except psycopg.Error as error:\n"
                "            if classify(error) is Refusal.CONTENDED:\n"
                "                return self._insert(first, end)\n"
                "            if classify(error) is Refusal.ROW:\n",
            ),
        ),
    ),
    Build.of(
        "bisect-drops-the-offender",
        "leaves the row that the table refuses out, and out of the account too",
        Oracle.LOSS,
        test=f"{_OFFENDERS}::TestOffenders::test_a_refused_row_is_found_and_its_neighbours_land",
        edits=(
            Edit(
                _LOAD,
                "            *(Reject(self._entry(o.position), Reason.REFUSED_BY_DATABASE)"
                " for o in self._offenders),\n",
                "",
            ),
            Edit(
                _LOAD,
                "            received=self._load.batch.received,\n",
                "            received=self._load.batch.received - len(self._offenders),\n",
            ),
        ),
    ),
    Build.of(
        "everything-into-quarantine",
        "takes trouble of the database for trouble of its rows",
        Oracle.ISOLATION,
        test=f"{_FAILURES}::TestRefusals::test_an_outage_is_no_fault_of_a_few_rows_either",
        edits=(
            Edit(
                _WAREHOUSE,
                "            if classify(error) is Refusal.ROW:\n",
                "            if classify(error) in Refusal:\n",
            ),
        ),
    ),
    Build.of(
        "lost-commit-into-quarantine",
        "quarantines a batch where the answer to its commit was lost",
        Oracle.ISOLATION,
        test="test_simulation.py::test_every_property_holds_in_every_schedule[0]",
        edits=(
            Edit(
                _LOAD,
                "        except Contended as contended:\n",
                "        except WarehouseUnavailable:\n"
                "            batch = load.batch\n"
                "            why = Reason.REFUSED_BY_DATABASE\n"
                "            rejects = [Reject(each, why) for each in batch.entries]\n"
                "            batch = replace(\n"
                "                batch,\n"
                "                entries=(),\n"
                "                frame=batch.frame.iloc[:0],\n"
                "                vault=(),\n"
                "                rejects=(*batch.rejects, *rejects),\n"
                "            )\n"
                "            with warehouse.begin() as transaction:\n"
                "                again = replace(load, batch=batch)\n"
                "                return _Settling(again, transaction).settle()\n"
                "        except Contended as contended:\n",
            ),
            Edit(
                _LOAD,
                "from dataclasses import dataclass, field\n",
                "from dataclasses import dataclass, field, replace\n",
            ),
            Edit(
                _LOAD,
                "from pipeline.errors import AccountError, TableMismatch\n",
                "from pipeline.errors import AccountError, TableMismatch, WarehouseUnavailable\n",
            ),
        ),
    ),
)
"""What they have in common: the warehouse ends up with too much or too little."""
