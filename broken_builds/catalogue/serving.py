"""Builds of the REST service that answer somebody for another, too late, or say too much."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_INTAKE: Final = "pipeline/produce/rest/intake.py"
_ONCE: Final = "test_rest_once.py"

BUILDS: Final = (
    Build.of(
        "taken-in-part-means-done",
        "keeps the answer to a batch that SQS took in part, and repeats it to the retry",
        Oracle.LOSS,
        test=f"{_ONCE}::test_a_batch_that_was_taken_in_part_is_taken_whole_by_the_retry",
        edits=(
            Edit(
                "pipeline/produce/rest/answers.py",
                'encode({"items": items})), final, outcome)\n',
                'encode({"items": items})), outcome=outcome)\n',
            ),
        ),
    ),
    Build.of(
        "idempotency-key-of-any-sender",
        "takes a sender's request for the retry of another sender's",
        Oracle.LOSS,
        test=f"{_ONCE}::test_two_senders_with_the_same_key_are_two",
        edits=(Edit(_INTAKE, "Claim.of(exchange.sender.name, self", 'Claim.of("", self'),),
    ),
    Build.of(
        "keys-read-once",
        "reads the API keys at its start only: one that leaked works on",
        Oracle.ERROR,
        test="test_rest_auth.py::test_a_key_that_is_dropped_is_refused_without_a_restart",
        edits=(
            Edit(
                "pipeline/produce/rest/app.py",
                "    fresh = asyncio.create_task(service.senders.keep_fresh())"
                " if service.senders else None\n",
                "    fresh: asyncio.Task[None] | None = None\n",
            ),
        ),
    ),
    Build.of(
        "closed-before-the-gateway",
        "closes connections that rest while the gateway still sends requests on them",
        Oracle.ERROR,
        test="test_rest_settings.py::test_the_bounds_are_these",
        edits=(
            Edit(
                "pipeline/produce/rest/limits.py",
                "    idle_seconds: int = 75\n",
                "    idle_seconds: int = 30\n",
            ),
        ),
    ),
    Build.of(
        "path-in-the-log",
        "logs the path of a request, with whatever the caller wrote there",
        Oracle.PRIVACY,
        test="test_rest_privacy.py::test_a_line_of_the_log_tells_the_route_and_never_the_path",
        edits=(
            Edit(
                "pipeline/produce/rest/front.py",
                "        exchange.tell(method, route)\n",
                '        exchange.tell(method, scope["path"])\n',
            ),
        ),
    ),
)
"""What they have in common: the service goes on answering, and who calls it sees nothing amiss."""
