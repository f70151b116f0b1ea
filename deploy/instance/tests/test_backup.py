"""A warehouse is lost, and restored on another server: what is there, comes again, or is gone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.instance.tests.backups import as_text, back_up, restore
from pipeline.errors import KeyringError
from pipeline.feeds.user_logins import FEED
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.masking.key_file import KeyFile
from pipeline.operate.unmask import unmask
from pipeline.resources.outside import Outside
from pipeline.warehouse.access import grant_feed
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import assert_matrix
from pipeline_tests.custody_case import COLUMNS, ORDERS, Desk, desk_at, wanted
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE, login
from pipeline_tests.world import World

EACH: Final = 20
SECRET: Final = "a-password-of-the-tests"  # noqa: S105 - of a log-in that lives for seconds
NOT_JSON: Final = "not JSON, and somebody's own words"
ADDRESS: Final = "203.0.113.77"
DEVICE: Final = "771-22-9981"
CUSTOMER: Final = "ann@customers.test"


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that has nothing."""
    folder = tmp_path / "new"
    folder.mkdir(mode=0o700)
    server = EmbeddedPostgres(folder)
    try:
        yield server.start()
    finally:
        server.stop()


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def as_loader(url: str) -> str:
    """The URL of a warehouse for the pipeline's own log-in."""
    place = urlsplit(url)
    return place._replace(netloc=f"etl:{SECRET}@{place.hostname}:{place.port}").geturl()


def users(letter: str) -> list[str]:
    return [f"{letter}{place:07x}-0000-4000-8000-000000000000" for place in range(EACH)]


def send(world: World, letter: str, *others: str) -> None:
    """Logins of as many users, whose ids begin with a letter of their own."""
    bodies = [
        json.dumps(login(user_id=user, ip=ADDRESS, device_id=DEVICE)) for user in users(letter)
    ]
    world.send([*bodies, *others])


def commit_without_acknowledging(world: World) -> None:
    """A run whose rows are committed, and whose deletes the queue refuses: all comes again."""
    with world.app.gate("DeleteMessageBatch", 1) as gate:
        world.app.let_fail(gate)
        world.run()
        assert gate.reached.is_set()


@pytest.fixture
def filled(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose warehouse an owner has migrated, and which runs reach as the loader."""
    migrate(world.postgres_url, [FEED])
    ask(world.postgres_url, f"CREATE ROLE etl LOGIN PASSWORD '{SECRET}' IN ROLE loader")
    monkeypatch.setenv("PIPELINE_POSTGRES_URL", as_loader(world.postgres_url))
    yield world
    ask(world.postgres_url, "DROP ROLE etl")


def test_what_sqs_still_keeps_comes_again_and_only_what_was_acknowledged_since_is_lost(
    filled: World, new_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(filled, "a", NOT_JSON)
    filled.ingest()
    send(filled, "b")
    commit_without_acknowledging(filled)
    backup = back_up(filled.postgres_url, tmp_path)
    filled.clock.now += 1_000
    filled.ingest()  # what was committed before is acknowledged now: in the backup all the same
    send(filled, "c")
    filled.ingest()  # acknowledged after the backup
    send(filled, "d")
    commit_without_acknowledging(filled)
    send(filled, "e")

    restored = restore(backup, new_server, name_of(filled.postgres_url))
    ask(restored, f"ALTER ROLE etl PASSWORD '{SECRET}'")  # no dump of roles holds one
    monkeypatch.setenv("PIPELINE_POSTGRES_URL", as_loader(restored))
    filled.clock.now += 1_000
    filled.ingest()

    assert filled.depth() == (0, 0)
    rows = [user for (user,) in ask(restored, "SELECT user_id FROM user_logins ORDER BY user_id")]
    assert rows == [*users("a"), *users("b"), *users("d"), *users("e")]
    assert ask(restored, "SELECT reason FROM pipeline.quarantine") == [("not_json",)]
    assert ask(
        restored,
        "SELECT bool_and(received = loaded + duplicate + quarantined) FROM pipeline.account",
    ) == [(True,)]


def test_what_comes_again_that_the_backup_holds_is_a_duplicate(
    filled: World, new_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(filled, "b")
    commit_without_acknowledging(filled)
    backup = back_up(filled.postgres_url, tmp_path)
    restored = restore(backup, new_server, name_of(filled.postgres_url))
    ask(restored, f"ALTER ROLE etl PASSWORD '{SECRET}'")
    monkeypatch.setenv("PIPELINE_POSTGRES_URL", as_loader(restored))
    filled.clock.now += 1_000

    numbers = filled.ingest()

    assert (numbers["rows"], numbers["duplicate"]) == (0, EACH)
    assert ask(restored, "SELECT count(*) FROM user_logins") == [(EACH,)]
    assert filled.depth() == (0, 0)


def test_a_dump_holds_no_value_in_the_clear(filled: World, tmp_path: Path) -> None:
    send(filled, "a", NOT_JSON)
    filled.ingest()
    told = as_text(back_up(filled.postgres_url, tmp_path))
    assert users("a")[0] in told  # which the contract keeps
    hidden = (ADDRESS, DEVICE, NOT_JSON)
    raw = [value.encode().hex() for value in hidden]  # as a column of bytes is written
    assert not [value for value in (*hidden, *raw) if value in told]


def test_without_the_keyring_it_was_filled_with_nothing_is_received(
    filled: World, new_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(filled, "a")
    filled.ingest()
    backup = back_up(filled.postgres_url, tmp_path)
    restored = restore(backup, new_server, name_of(filled.postgres_url))
    ask(restored, f"ALTER ROLE etl PASSWORD '{SECRET}'")
    monkeypatch.setenv("PIPELINE_POSTGRES_URL", as_loader(restored))
    send(filled, "b")

    filled.keyring.rename(filled.keyring.with_name("lost"))
    told = str(filled.run().failure_data_for_node(f"{FEED.name}.extract_{FEED.name}"))
    assert "E_KEYRING" in told
    assert "does not exist. Restore it from its backup" in told
    assert not filled.keyring.exists()  # none is made for rows that another one has masked
    KeyFile(filled.keyring).load_or_make()
    told = str(filled.run().failure_data_for_node(f"{FEED.name}.extract_{FEED.name}"))
    assert "this is not the keyring that the warehouse was filled with" in told
    assert "nothing was received" in told
    assert filled.depth() == (EACH, 0)
    assert filled.receive_counts() == [1] * EACH


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    """A custodian's desk over a warehouse with a vault."""
    with desk_at(warehouse_url, tmp_path) as desk:
        with psycopg.connect(desk.url) as connection:
            grant_feed(connection, ORDERS)
        desk.load({"email": CUSTOMER, "phone": None, "ip": None, "name": None, "city": None})
        yield desk


def test_a_vault_opens_on_the_new_server_with_the_old_keyring_and_with_no_other(
    desk: Desk, new_server: str, tmp_path: Path
) -> None:
    [token] = desk.column("customer")
    restored = restore(back_up(desk.url, tmp_path), new_server, name_of(desk.url))
    custodian = urlsplit(desk.outside.custodian_url())
    ask(restored, f"ALTER ROLE {custodian.username} PASSWORD '{SECRET}'")
    place = urlsplit(restored)
    login = f"{custodian.username}:{SECRET}@{place.hostname}:{place.port}"

    def opened_with(keys: KeyFile) -> list[str | None]:
        there = place._replace(netloc=login).geturl()
        outside = Outside(desk.outside.endpoint, restored, keys, custodian=there)
        asked = unmask(outside, ORDERS, [COLUMNS["customer"]], wanted("customer", [token]))
        return [each.value for each in asked]

    assert opened_with(desk.keys) == [CUSTOMER]
    assert ask(restored, "SELECT action FROM pipeline.audit") == [("unmask",)]
    another = KeyFile(tmp_path / "another.json")
    another.load_or_make()
    with pytest.raises(KeyringError):
        opened_with(another)
    assert ask(restored, "SELECT count(*) FROM pipeline.audit") == [(1,)]


def test_each_role_has_the_rights_that_it_had(
    warehouse_url: str, new_server: str, tmp_path: Path
) -> None:
    migrate(warehouse_url, [FEED, EVERY_TYPE])
    backup = back_up(warehouse_url, tmp_path)
    restored = restore(backup, new_server, name_of(warehouse_url))
    assert_matrix(restored)
    assert migrate(restored, [FEED, EVERY_TYPE]).left_out == ()
