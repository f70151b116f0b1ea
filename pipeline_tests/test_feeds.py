"""A feed is one file: in the folder it is all that Dagster needs, and a wrong one is refused."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipeline import feeds
from pipeline.definitions import defs
from pipeline.errors import ContractError
from pipeline.feeds.user_logins import FEED as USER_LOGINS
from pipeline_tests.added_files import AddFile, adding

ORDERS = """
from pipeline.contract import Feed, Field
from pipeline.masking.policies import Keep, Pseudonymize
from pipeline.types import Integer, Text

FEED = Feed(
    name="orders",
    description="One row for each order.",
    queue="orders-queue",
    table="sales.orders",
    fields=(
        Field("id", Integer(), Keep()),
        Field("customer.email", Text(80), Pseudonymize(), personal=True),
    ),
    key=("id",),
)
"""


@pytest.fixture
def add_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddFile]:
    """Adds a file to the folder of feeds, for the test."""
    with adding(feeds, tmp_path, monkeypatch) as add:
        yield add


def test_the_feeds_of_the_folder_are_found() -> None:
    assert [feed.name for feed in feeds.discover()] == ["messages", "pokemon", "user_logins"]
    assert feeds.find("user_logins") is USER_LOGINS


def test_an_added_file_is_found_in_the_order_of_names(add_feed: AddFile) -> None:
    add_feed("orders", ORDERS)
    assert [feed.name for feed in feeds.discover()] == [
        "messages",
        "orders",
        "pokemon",
        "user_logins",
    ]
    assert feeds.find("orders").queue == "orders-queue"


def test_one_added_file_is_all_that_a_feed_needs(add_feed: AddFile) -> None:
    add_feed("orders", ORDERS)
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()
    asset = dg.AssetKey("orders")
    assert asset in repository.asset_graph.get_all_asset_keys()
    assert {
        key.name for key in repository.asset_graph.asset_check_keys if key.asset_key == asset
    } == {
        "account_adds_up",
        "personal_fields_look_masked",
        "kept_columns_hold_no_personal_values",
    }
    assert {"ingest_orders", "seed_orders"} <= set(repository.job_names)
    sensor = repository.get_sensor_def("orders_sensor")
    assert sensor.job_name == "ingest_orders"
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_the_definitions_of_each_feed_have_the_same_shape(add_feed: AddFile) -> None:
    """Adding a feed takes nothing away from the others."""
    add_feed("orders", ORDERS)
    repository = defs().get_repository_def()

    def shape(feed: str) -> list[str]:
        nodes = repository.get_job(f"ingest_{feed}").all_node_defs
        return sorted(node.name.replace(feed, "FEED") for node in nodes)

    assert shape("orders") == shape("user_logins")


@pytest.mark.parametrize(
    ("what", "value", "told"),
    [
        ("name", "user_logins", "user_logins"),
        ("queue", "login-queue", "login-queue"),
        ("table", "user_logins", "public.user_logins"),
        ("table", "public.user_logins", "public.user_logins"),
    ],
)
def test_two_feeds_of_one_name_queue_or_table_are_refused(
    what: str, value: str, told: str, add_feed: AddFile
) -> None:
    own = {"name": "orders", "queue": "orders-queue", "table": "sales.orders"}[what]
    add_feed("orders", ORDERS.replace(f'{what}="{own}"', f'{what}="{value}"'))
    with pytest.raises(ContractError) as caught:
        feeds.discover()
    assert f"2 feeds have the {what} {told!r}" in str(caught.value)
    assert caught.value.rule == f"{what}: one feed each"


@pytest.mark.parametrize("content", ["", "FEED = 3\n", ORDERS.replace("FEED", "feed")])
def test_a_file_that_defines_no_feed_is_refused_by_its_name(
    content: str, add_feed: AddFile
) -> None:
    add_feed("orders", content)
    with pytest.raises(ContractError, match=r"pipeline/feeds/orders\.py does not define FEED"):
        feeds.discover()


def test_a_wrong_feed_stops_the_definitions_with_feed_field_and_rule(add_feed: AddFile) -> None:
    add_feed("orders", ORDERS.replace("Text(80), Pseudonymize()", "Text(80)"))
    with pytest.raises(ContractError) as caught:
        defs()
    assert (caught.value.feed, caught.value.field) == ("orders", "email")
    assert "policy: every field has one, there is no default" in str(caught.value)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ContractError, match=r"no feed of that name\. Choose one of: messages, pok"):
        feeds.find("logins")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x = 1\ndef x(:\n", "SyntaxError at line 2"),
        ("\nimport no_such_module\n", "ModuleNotFoundError at line 2"),
        ("FEED = Feeed()\n", "NameError at line 1"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_line(
    content: str, told: str, add_feed: AddFile
) -> None:
    add_feed("broken", content)
    with pytest.raises(ContractError, match=rf"pipeline/feeds/broken\.py .*{told}"):
        feeds.discover()
