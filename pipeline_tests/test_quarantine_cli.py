"""The commands of the quarantine: what they show, to whom, and what they record."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from pipeline.operate.quarantine.looking import ask
from pipeline_tests.cli_case import pipeline, process
from pipeline_tests.quarantine_case import WHY, Ward, lacking, lenient, ward_in
from pipeline_tests.samples import CANARY, USER_LOGINS
from pipeline_tests.world import World

REASON: Final = ("--reason", "ticket 12", "--by", "Eve")
PERSONAL: Final = ("--reason", "for ann@x.org", "--by", "Eve")
ODD: Final = f"{CANARY}\x9b2J\t\\n\u202e\u00e9"


@pytest.fixture
def ward(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_in(world, monkeypatch) as ward:
        ward.world.send([ODD, lacking(CANARY), lacking("user-2")], ["event-1", "e-2", "e-3"])
        ward.ingest()
        yield ward


def run(ward: Ward, *arguments: str, status: int = 0) -> str:
    """What `pipeline quarantine` prints; of a failure, what it tells beside."""
    done = pipeline(ward.environment, "quarantine", *arguments)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def words(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_the_list_tells_reasons_and_ages_and_names_messages(ward: Ward) -> None:
    ward.let_time_pass(3)
    listed = run(ward, "list", "user_logins", "--messages", "10")
    assert words(listed)[1:3] == [
        ["missing", "device_type", "2", "3", "d", "ago", "3", "d", "ago", "1"],
        ["not_json", "1", "3", "d", "ago", "3", "d", "ago", "1"],
    ]
    assert len(words(listed)[5:]) == 3
    assert CANARY not in listed
    assert run(ward, "list", "user_logins", "--older-than", "4d").startswith("nothing lies")
    told = json.loads(run(ward, "list", "user_logins", "--code", "missing", "--json"))
    assert [group["messages"] for group in told["user_logins"]["groups"]] == [2]


def test_a_look_shows_one_message_and_commands_no_terminal(ward: Ward) -> None:
    ((key,),) = ward.world.query("SELECT key FROM pipeline.quarantine WHERE reason = 'not_json'")
    shown = run(ward, "look", "user_logins", key.hex()[:12], *REASON)
    lines = dict(line.split("\t", 1) for line in shown.splitlines())
    assert lines["event id"] == "event-1"
    assert lines["body"] == f"{CANARY}\\x9b2J\\t\\\\n\\u202e\u00e9"
    assert ward.world.query("SELECT action, token, reason, stated_by FROM pipeline.audit") == [
        ("look", key.hex(), "ticket 12", "Eve")
    ]


def test_a_look_that_was_prepared_is_opened_by_its_number(ward: Ward) -> None:
    ((key,),) = ward.world.query("SELECT key FROM pipeline.quarantine WHERE reason = 'not_json'")
    number = ask(ward.outside, USER_LOGINS, key, **WHY)
    assert "body\t" in run(ward, "look", "--request", str(number), "--by", "Ann")
    assert ward.world.query("SELECT action, stated_by FROM pipeline.audit ORDER BY id") == [
        ("look asked", "Eve"),
        ("look", "Ann"),
    ]


def test_a_redrive_says_what_it_would_do_and_does_it(ward: Ward) -> None:
    arguments = ("redrive", "user_logins", "--code", "missing", "--rate", "1000")
    dry = run(ward, *arguments, "--dry-run")
    assert words(dry)[1][:3] == ["missing", "device_type", "2"]
    assert (ward.reasons()["missing"], ward.world.query("SELECT * FROM pipeline.audit")) == (2, [])
    done = process(ward.environment, "quarantine", *arguments, *REASON)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "redriven: 2"
    assert ward.ingest(lenient()).loaded == 2


def test_conflicts_are_named_before_they_are_redriven(ward: Ward) -> None:
    ward.ingest(lenient())
    ward.redrive()
    ward.ingest(lenient())
    ward.world.send([lacking("user-3")], ["e-3"])
    ward.ingest(lenient())
    assert "1 are conflicts" in run(ward, "redrive", "user_logins", "--all", "--dry-run")


def test_a_purge_destroys_what_is_old(ward: Ward) -> None:
    assert "E_AUDIT_REFUSED" in run(
        ward, "purge", "user_logins", "--older-than", "23h", *REASON, status=1
    )
    ward.let_time_pass(2)
    arguments = ("purge", "user_logins", "--older-than", "1d")
    run(ward, *arguments, "--dry-run")
    assert sum(ward.reasons().values()) == 3
    assert run(ward, *arguments, *REASON).splitlines()[-1] == "purged: 3"
    assert ward.reasons() == {}


REFUSED: Final = (
    # what is told, and the arguments
    ("no reason is given", ("redrive", "user_logins", "--all")),
    ("no such reason code", ("redrive", "user_logins", "--code", CANARY, *REASON)),
    ("not an age", ("purge", "user_logins", "--older-than", CANARY, *REASON)),
    ("no handle", ("look", "user_logins", CANARY, *REASON)),
    ("no message of the quarantine", ("look", "user_logins", "0123456789ab", *REASON)),
    ("looks personal", ("look", "user_logins", "0123456789ab", *PERSONAL)),
    ("looks personal", ("redrive", "user_logins", "--all", *PERSONAL)),
    ("looks personal", ("purge", "user_logins", "--older-than", "1d", *PERSONAL)),
)


def test_what_cannot_be_done_is_told_in_one_line(ward: Ward) -> None:
    for told, arguments in REFUSED:
        error = run(ward, *arguments, status=1)
        assert told in error
        assert error.count("\n") == 1
        assert CANARY not in error
    assert sum(ward.reasons().values()) == 3
