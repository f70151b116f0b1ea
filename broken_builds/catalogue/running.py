"""Builds whose sensor, checks or back-off let trouble of the environment cost messages."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_SENSOR: Final = "pipeline/consume/sensor.py"
_PLAN: Final = "pipeline/consume/plan.py"
_STAGES: Final = "pipeline/consume/stages.py"
_OUTSIDE: Final = "pipeline/resources/outside.py"
_SERVICE: Final = "pipeline/operate/consume_service.py"

BUILDS: Final = (
    Build.of(
        "receive-before-the-check",
        "receives, and only then looks whether the warehouse is well",
        Oracle.RECOVERY,
        test="test_breaker.py::test_trouble_of_the_environment_costs_no_delivery[a full disk]",
        edits=(
            Edit(
                _STAGES,
                "        keyring = ports.warehouse.check()\n",
                "",
            ),
            Edit(
                _STAGES,
                "            received = receive(queue, held, feed.limits, ports.clock, over)\n",
                "            received = receive(queue, held, feed.limits, ports.clock, over)\n"
                "            keyring = ports.warehouse.check()\n",
            ),
        ),
    ),
    Build.of(
        "no-rehearsed-writes",
        "takes a warehouse that answers for one that can be written to",
        Oracle.RECOVERY,
        test="test_breaker.py::test_trouble_of_the_environment_costs_no_delivery"
        "[a lock that a migration holds]",
        edits=(
            Edit(
                "pipeline/consume/readiness.py",
                "        _rehearse(connection, feed, keys)\n",
                "",
            ),
        ),
    ),
    Build.of(
        "no-rehearsed-commit",
        "finds out only with a batch in hand that commits fail",
        Oracle.RECOVERY,
        test="test_breaker.py::test_the_check_commits_in_earnest",
        edits=(
            Edit(
                "pipeline/consume/readiness.py",
                "    connection.execute(_COMMIT_REHEARSAL)\n",
                "",
            ),
        ),
    ),
    Build.of(
        "probe-of-full-size",
        "takes as many messages as ever after runs have failed",
        Oracle.RECOVERY,
        test="test_plan.py::test_from_the_second_failure_on_one_run_takes_a_few_messages_only",
        edits=(
            Edit(
                _PLAN,
                "    return Decision(1, reason, most_messages=_PROBE_MESSAGES)\n",
                "    return Decision(1, reason)\n",
            ),
        ),
    ),
    Build.of(
        "probe-tag-ignored",
        "asks for a run of few messages, which then takes as many as ever",
        Oracle.RECOVERY,
        test="test_sensor.py::test_a_run_with_that_tag_leaves_the_others_on_the_queue",
        edits=(
            Edit(
                "pipeline/consume/asset.py",
                "stages.extract(limited(feed, context.run.tags), ports)",
                "stages.extract(feed, ports)",
            ),
        ),
    ),
    Build.of(
        "probe-of-full-size-in-the-service",
        "takes as many messages as ever after runs have failed, in `pipeline consume`",
        Oracle.RECOVERY,
        test="test_consume_service.py"
        "::test_while_the_warehouse_is_down_it_backs_off_and_then_goes_on",
        edits=(Edit(_SERVICE, "watch, instance, limiting(decision))", "watch, instance, {})"),),
    ),
    Build.of(
        "let-go-leaves-its-run",
        "gives back what a run holds, and leaves the run as one that goes on for ever",
        Oracle.RECOVERY,
        test="test_consume_service.py"
        "::test_what_its_run_holds_can_be_let_go_and_the_run_ends_with_that",
        edits=(
            Edit(
                _SERVICE,
                "            if run is not None and not run.is_finished:\n",
                "            if False:\n",
            ),
        ),
    ),
    Build.of(
        "no-back-off",
        "asks for the next run as soon as one has failed",
        Oracle.RECOVERY,
        test="test_breaker.py::test_six_hours_of_outage_back_off_and_leave_every_message_as_it_was",
        edits=(Edit(_PLAN, "    if seen.failures == 0:\n", "    if seen.failures >= 0:\n"),),
    ),
    Build.of(
        "dead-run-waited-for",
        "waits for a run for as long as Dagster takes it to be at work",
        Oracle.RECOVERY,
        test="test_sensor.py::test_a_run_beyond_the_age_limit_counts_as_dead",
        edits=(
            Edit(
                _SENSOR,
                "statuses=UNFINISHED, created_after=oldest)",
                "statuses=UNFINISHED)",
            ),
        ),
    ),
    Build.of(
        "sensor-receives",
        "receives a message at each tick, to see whether there is one",
        Oracle.LOSS,
        test="test_sensor.py::test_a_tick_is_one_call_and_never_receives",
        edits=(
            Edit(
                _SENSOR,
                "            decision = decide(_seen(",
                "            outside.reach().queue_for_a_run(feed).receive(1)\n"
                "            decision = decide(_seen(",
            ),
        ),
    ),
    Build.of(
        "run-key",
        "gives a run request a key: one that has failed is never asked for again",
        Oracle.RECOVERY,
        test="test_sensor.py::test_a_deep_queue_asks_for_a_run_at_once",
        edits=(
            Edit(
                _SENSOR,
                "                dg.RunRequest(tags=",
                '                dg.RunRequest(run_key=f"{feed.name}-{depth}", tags=',
            ),
        ),
    ),
    Build.of(
        "environment-tag-ignored",
        "receives from the queue of another environment",
        Oracle.LOSS,
        test="test_start_up.py::test_a_run_takes_nothing_from_the_queue_of_another_environment",
        edits=(
            Edit(_OUTSIDE, "        if self.environment is not None:\n", "        if False:\n"),
        ),
    ),
)
"""What they have in common: deliveries are used up, or messages are never asked for."""
