"""What people do amid the chaos: commands that end one way or another, alerts that are kept."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chaos.deployed import defs as chaos_defs
from chaos.errands import Errand, Errands
from chaos.feed import DEAD_LETTERS, FEED, chaos_feeds
from chaos.webhook import Webhook
from pipeline import feeds
from pipeline.definitions import defs
from pipeline_tests.samples import eventually


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    """One that listens."""
    webhook = Webhook(tmp_path / "webhook")
    webhook.start()
    yield webhook
    webhook.stop()


def post(url: str, body: bytes) -> int:
    place = urlsplit(url)
    with closing(HTTPConnection(place.netloc, timeout=10)) as connection:
        connection.request("POST", place.path, body)
        return connection.getresponse().status


def test_an_alert_is_counted_by_its_code_and_kept_as_it_came(
    webhook: Webhook, tmp_path: Path
) -> None:
    for code in ("E_QUEUE", "E_QUEUE", "E_TEST"):
        assert post(webhook.url, json.dumps({"code": code, "what": "a canary?"}).encode()) == 204
    assert webhook.codes == {"E_QUEUE": 2, "E_TEST": 1}
    assert (tmp_path / "webhook").read_text().count("a canary?") == 3


@pytest.mark.parametrize("body", [b"no JSON", b"{}"])
def test_what_is_no_alert_does_not_count_but_is_kept(
    webhook: Webhook, tmp_path: Path, body: bytes
) -> None:
    assert post(webhook.url, body) == 400
    assert not webhook.codes
    assert body in (tmp_path / "webhook").read_bytes()


def errands(folder: Path, script: str) -> Errands:
    """Those of a command that is a script."""
    command = folder / "pipeline"
    command.write_text(f"#!{sys.executable}\n{script}")
    command.chmod(0o700)
    said = folder / "said"
    said.mkdir()
    return Errands(command, {}, folder, said)


@pytest.mark.parametrize(("status", "how"), [(0, "done"), (1, "failed")])
def test_how_an_errand_ended_is_counted_once(tmp_path: Path, status: int, how: str) -> None:
    ours = errands(tmp_path, f"import sys; sys.exit({status})")
    assert ours.run(Errand.RETENTION) is not None

    def ended() -> bool:
        ours.count()
        return bool(ours.ended)

    eventually(ended)
    ours.count()
    assert ours.ended == {f"retention: {how}": 1}


def test_an_errand_that_lasts_is_not_begun_again_and_can_be_killed(tmp_path: Path) -> None:
    ours = errands(tmp_path, "import time; time.sleep(600)")
    kill = ours.run(Errand.REDRIVE_LETTERS)
    assert kill is not None
    assert ours.run(Errand.REDRIVE_LETTERS) is None
    kill()
    ours.count()
    assert ours.ended == {"dead-letters redrive: killed": 1}
    assert ours.run(Errand.REDRIVE_LETTERS) is not None
    ours.end()


def test_errands_are_commands_for_a_feed_that_they_know() -> None:
    assert feeds.find(FEED).queue == chaos_feeds()[0].queue


def test_the_copies_share_nothing_that_must_be_their_own() -> None:
    copies = chaos_feeds()
    for of in ("name", "queue", "table"):
        assert len({getattr(each, of) for each in copies}) == len(copies) == 3
    assert not any(each.queue.endswith(DEAD_LETTERS) for each in copies)


def test_what_is_deployed_is_what_the_project_deploys_for_a_feed() -> None:
    """All sensors, schedules and jobs of the project that belong to this feed, or to all."""
    ours, theirs = chaos_defs(), defs()
    others = tuple(each.name for each in feeds.discover() if each.name != FEED)
    sends = ("seed_", "fetch_", "plan_", "refresh_", "retry_", "canary", "send_canary")

    def wanted(names: set[str]) -> set[str]:
        return {
            each
            for each in names
            if not each.startswith(sends) and not any(f"_{o}_" in f"_{each}_" for o in others)
        }

    for here, there in (
        ({each.name for each in ours.sensors or ()}, {each.name for each in theirs.sensors or ()}),
        (
            {each.name for each in ours.schedules or ()},
            {each.name for each in theirs.schedules or ()},
        ),
        ({each.name for each in ours.jobs or ()}, {each.name for each in theirs.jobs or ()}),
    ):
        assert wanted(there) <= here
