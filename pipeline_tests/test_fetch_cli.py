"""`pipeline fetch`: what it fetches, what it says, how it is stopped and goes on."""

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Final

import pytest

from pipeline_tests.cli_case import PIPELINE, fails, pipeline, succeeds
from pipeline_tests.fetch_case import FEED, Case, path, paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.fetch_jobs_case import surroundings
from pipeline_tests.samples import CANARY
from pipeline_tests.upstream import Reply, Request, Upstream, pokemon

COUNT: Final = 12
START: Final = 60.0  # seconds within which a process must come to its moment


@pytest.fixture
def case(case_of: MakeCase) -> Case:
    """A dozen records, and the queue that they are sent to."""
    made = case_of(Upstream(range(1, COUNT + 1)))
    made.sqs.create_queue(QueueName=FEED.queue)
    return made


@pytest.fixture
def environment(case: Case, tmp_path: Path) -> dict[str, str]:
    """The settings that lead to the case."""
    return surroundings(case, tmp_path)


def test_it_fetches_all_and_the_second_time_nothing(
    case: Case, environment: dict[str, str]
) -> None:
    told = succeeds(environment, "fetch", "pokeapi")
    assert "12 records in the list: pages 1, requested 12, sent 12, unchanged 0, failed 0" in told
    assert "planned 0, fetched 0, sent 12, failed 0, gone 0" in told
    case.api.forget()
    told = succeeds(environment, "fetch", "pokeapi")
    assert "requested 0, sent 0, unchanged 0, failed 0" in told
    assert case.api.asked() == []
    assert case.sent() == paths(range(1, COUNT + 1))


def test_what_failed_ends_it_with_1_and_is_shown_and_tried_again(
    case: Case, environment: dict[str, str]
) -> None:
    case.api.records[5] = pokemon(5, name=CANARY, height=CANARY)
    done = pipeline(environment, "fetch", "pokeapi")
    assert (done.returncode, done.stderr) == (1, "")
    assert "sent 11, failed 1" in done.stdout
    assert path(5) in done.stdout
    assert "pipeline fetch pokeapi --retry-failed" in done.stdout
    assert CANARY not in done.stdout

    case.api.forget()
    status = json.loads(succeeds(environment, "fetch", "pokeapi", "--status", "--json"))
    (failure,) = status["failures"]
    assert (status["source"], status["feed"]) == ("pokeapi", "pokemon")
    assert (status["counts"]["sent"], status["counts"]["failed"]) == (11, 1)
    assert failure.pop("failed_at")
    assert failure == {"item": path(5), "attempts": 1, "reason": "transform"}
    assert path(5) in succeeds(environment, "fetch", "pokeapi", "--status")
    assert case.api.requests == []

    case.api.records[5] = pokemon(5)
    told = succeeds(environment, "fetch", "pokeapi", "--retry-failed")
    assert "requested 1, sent 1, unchanged 0, failed 0" in told
    assert case.api.asked() == [path(5)]
    assert case.sent() == paths(range(1, COUNT + 1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_goes_on_from_there(
    case: Case, environment: dict[str, str], number: signal.Signals
) -> None:
    reached = threading.Event()

    def hang(_request: Request) -> Reply | None:
        if len(case.api.asked()) <= 6:
            return None
        reached.set()
        return Reply(hangs=True, cut=0)

    case.api.hooks.append(hang)
    with subprocess.Popen(
        [str(PIPELINE), "fetch", "pokeapi"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert reached.wait(START)
        process.send_signal(number)
        _, said = process.communicate(timeout=START)
    assert process.returncode == 130
    assert said == "stopped: what was sent is noted, and the same command goes on from there\n"
    case.api.hooks.clear()
    told = succeeds(environment, "fetch", "pokeapi")
    assert "planned 0, fetched 0, sent 12, failed 0, gone 0" in told
    assert set(case.sent()) == set(paths(range(1, COUNT + 1)))


def test_a_list_that_cannot_be_had_is_told_in_a_line(
    case: Case, environment: dict[str, str]
) -> None:
    case.api.hooks.append(lambda _: Reply(CANARY.encode(), 403))
    code, said = fails(environment, "fetch", "pokeapi")
    assert code == "E_FETCH"
    assert CANARY not in said


def test_what_makes_no_sense_is_refused(environment: dict[str, str]) -> None:
    code, said = fails(environment, "fetch", CANARY)
    assert code == "E_CONTRACT"
    assert CANARY not in said
    assert "Choose one of: pokeapi" in said
    for options in (["--status", "--retry-failed"], ["--json"]):
        assert pipeline(environment, "fetch", "pokeapi", *options).returncode == 2
