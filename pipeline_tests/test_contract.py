"""A contract holds together, or is refused with feed, field and rule when it is built."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.contract import SENT_AT, Feed, Field, Limits
from pipeline.errors import ContractError
from pipeline.feeds.user_logins import FEED as USER_LOGINS
from pipeline.masking.policies import (
    Drop,
    Encrypt,
    Generalize,
    IpCrypt,
    IpPrefix,
    Keep,
    Last,
    Pseudonymize,
)
from pipeline.types import (
    Boolean,
    Date,
    FieldType,
    Integer,
    IpAddress,
    Number,
    Text,
    Texts,
    Timestamp,
    Version,
)
from pipeline_tests.samples import EVERY_TYPE

ID = Field("id", Integer(), Keep())
MAXIMAL = "n" * 63


def feed(*fields: Field, **changes: object) -> Feed:
    """A sound small feed, but for what a test changes."""
    sound = Feed(name="orders", description="", queue="orders", table="orders", fields=(ID,))
    return replace(sound, fields=fields or (ID,), **changes)  # type: ignore[arg-type]


def twice(kind: FieldType, second: dict[str, bool]) -> Feed:
    """An address that feeds two columns, and the second field says something else of it."""
    one = Field("ip", IpAddress(), Encrypt())
    return feed(one, Field("ip", kind, Keep("a test"), column="again", **second))  # type: ignore[arg-type]


def nested(*paths: str) -> Feed:
    """A feed of fields at these paths, each with a column of its own."""
    return feed(*(Field(path, Boolean(), Keep(), column=f"c{i}") for i, path in enumerate(paths)))


FIELD_RULES: dict[str, tuple[Callable[[], Feed], str, str]] = {
    "no policy": (lambda: feed(Field("email", Text(9))), "email", "policy: every field has one"),
    "personal, kept without a reason": (
        lambda: feed(Field("email", Text(9), Keep(), personal=True)),
        "email",
        "a personal field may be kept only with a reason",
    ),
    "masked list": (
        lambda: feed(Field("names", Texts(Text(9), 3), Pseudonymize(), personal=True)),
        "names",
        "policy: a list is kept or dropped",
    ),
    "prefix of a text": (
        lambda: feed(Field("ip", Text(45), IpPrefix())),
        "ip",
        "policy: for the type IpAddress",
    ),
    "other address of a text": (
        lambda: feed(Field("ip", Text(45), IpCrypt())),
        "ip",
        "policy: for the type IpAddress",
    ),
    "prefix that is the whole address of a person": (
        lambda: feed(Field("ip", IpAddress(), IpPrefix(32), personal=True)),
        "ip",
        "policy: of a personal address at most 24 bits",
    ),
    "end of a number": (lambda: feed(Field("n", Integer(), Last())), "n", "policy: for the type"),
    "month of a number": (
        lambda: feed(Field("n", Integer(), Generalize("month"))),
        "n",
        "policy: a bucket of whole numbers",
    ),
    "bucket of dates": (
        lambda: feed(Field("d", Date(), Generalize(7))),
        "d",
        "policy: a date is generalised",
    ),
    "dropped column of another's name": (
        lambda: feed(ID, Field("old.id", Integer(), Drop())),
        "id",
        "each column is fed by one field",
    ),
    "path through a dropped field": (
        lambda: feed(ID, Field("a", Text(9), Drop()), Field("a.b", Text(9), Keep())),
        "b",
        "path: does not lead through another field",
    ),
    "column too long": (lambda: feed(Field("n" * 64, Text(9), Keep())), "n" * 64, "column: "),
    "column not an identifier": (
        lambda: feed(Field("id", Integer(), Keep(), column='id"; --')),
        'id"; --',
        "column: ",
    ),
    "column in capitals": (lambda: feed(Field("userId", Text(9), Keep())), "userId", "column: "),
    "column named as the load's own": (
        lambda: feed(Field("__key", Text(9), Keep())),
        "__key",
        "column: ",
    ),
    "column of other letters": (lambda: feed(Field("größe", Text(9), Keep())), "größe", "column: "),
    "no path": (lambda: feed(Field("", Text(9), Keep(), column="a")), "a", "path: "),
    "path with two dots": (
        lambda: feed(Field("a..b", Text(9), Keep(), column="b")),
        "b",
        "path: names joined by single dots",
    ),
    "two fields, one column": (
        lambda: feed(Field("a.id", Integer(), Keep()), Field("b.id", Integer(), Keep())),
        "id",
        "each column is fed by one field",
    ),
    "path through a field": (
        lambda: nested("device", "device.id"),
        "c1",
        "path: does not lead through another field",
    ),
    "path through a field, named later": (
        lambda: nested("a.b.c.d", "a.b"),
        "c0",
        "path: does not lead through another field",
    ),
    "one path of two types": (lambda: twice(Text(45), {}), "again", "fields of one path agree"),
    "one path, personal once": (
        lambda: twice(IpAddress(), {"personal": True}),
        "again",
        "fields of one path agree",
    ),
    "one path, null once": (
        lambda: twice(IpAddress(), {"nullable": True}),
        "again",
        "fields of one path agree",
    ),
    "time of sending as a text": (
        lambda: feed(Field(SENT_AT, Text(9), Keep())),
        "sent_at",
        "type: the time of sending is a Date or a Timestamp",
    ),
    "key that is no field": (lambda: feed(key=("no",)), "no", "key: a field of this feed"),
    "key that may be null": (
        lambda: feed(Field("id", Integer(), Keep(), nullable=True), key=("id",)),
        "id",
        "key: a field that is never null",
    ),
}

FEED_RULES: dict[str, tuple[dict[str, object], str]] = {
    "name in capitals": ({"name": "Orders"}, "name: lower-case letters, digits and _"),
    "name empty": ({"name": ""}, "name: "),
    "name too long": ({"name": "n" * 64}, "at most 63 bytes"),
    "name ends in a newline": ({"name": "orders\n"}, "name: "),
    "table too long": ({"table": "n" * 64}, "table: "),
    "schema too long": ({"table": f"{'n' * 64}.orders"}, "table: "),
    "table in a database": ({"table": "a.b.c"}, "table: "),
    "table begins with a digit": ({"table": "1st"}, "table: "),
    "table with a quote": ({"table": 'a"; DROP TABLE b; --'}, "table: "),
    "schema with a semicolon": ({"table": "a;.orders"}, "table: "),
    "table of other letters": ({"table": "größe"}, "table: "),
    "table of letters that look alike": ({"table": "\N{CYRILLIC SMALL LETTER A}bc"}, "table: "),
    "queue empty": ({"queue": ""}, "queue: "),
    "queue too long": ({"queue": "q" * 81}, "queue: "),
    "queue with a path": ({"queue": "../orders"}, "queue: "),
    "queue is FIFO": ({"queue": "orders.fifo"}, "queue: "),
    "no fields": ({"fields": ()}, "fields: 1 to 1597"),
    "no field that has a column": (
        {"fields": (Field("id", Integer(), Drop()),)},
        "fields: 1 to 1597 that have a column",
    ),
}

LIMIT_RULES: dict[str, tuple[dict[str, float], str]] = {
    **{
        f"{each.name} not positive": ({each.name: 0}, f"limits.{each.name} must be positive")
        for each in dataclasses.fields(Limits)
        if each.name != "linger_seconds"
    },
    "linger negative": ({"linger_seconds": -1}, "limits.linger_seconds must be positive"),
    "no room for the largest message": (
        {"batch_bytes": 2**20 - 1},
        "limits.batch_bytes must be at least 1048576, the largest message of SQS",
    ),
    "more in flight than SQS delivers": (
        {"batch_messages": 25_001, "max_runs": 2},
        "limits.max_runs times batch_messages must be at most 50000",
    ),
    "hidden for too long": (
        {"visibility_seconds": 43_201, "hold_seconds": 50_000, "run_age_seconds": 50_000},
        "limits.visibility_seconds must be at most 43200, the limit of SQS",
    ),
    "held for too long": (
        {"hold_seconds": 43_201, "run_age_seconds": 50_000},
        "limits.hold_seconds must be at most 43200, the limit of SQS",
    ),
    "held for too short": (
        {"visibility_seconds": 600, "receive_seconds": 301},
        "limits.hold_seconds must cover visibility_seconds and receive_seconds",
    ),
    "dead while it still holds": (
        {"run_seconds": 600, "hold_seconds": 1_400, "run_age_seconds": 1_999},
        "limits.run_age_seconds must cover run_seconds and hold_seconds",
    ),
    "a run smaller than its batch": (
        {"batch_messages": 500, "run_messages": 499},
        "limits.run_messages must be at least batch_messages",
    ),
}

TYPE_RULES: dict[str, tuple[FieldType, str]] = {
    "text of no length": (Text(0), "max_length must be between 1 and 10485760"),
    "text longer than a varchar": (Text(10_485_761), "max_length must be between"),
    "text of no bytes": (Text(9, max_bytes=0), "max_bytes must be positive"),
    "sample of many bytes": (Text(9, max_bytes=2, samples=("\u20ac",)), "more than max_bytes"),
    "allowed value too long": (Text(2, allowed=("abc",)), "longer than max_length"),
    "sample too long": (Text(2, samples=("abc",)), "longer than max_length"),
    "shape too long": (Text(2, shape="999"), "the shape is longer than max_length"),
    "integer range empty": (Integer(2, 1), "minimum is above maximum"),
    "integer below bigint": (Integer(minimum=-(2**63) - 1), "does not fit into 64 bits"),
    "integer above bigint": (Integer(maximum=2**63), "does not fit into 64 bits"),
    "number range empty": (Number(2, 1), "minimum is above maximum"),
    "version without digits": (Version(0), "digits must be between 1 and 4"),
    "version of too many digits": (Version(5), "digits must be between 1 and 4"),
}


@pytest.mark.parametrize(("build", "field", "rule"), FIELD_RULES.values(), ids=FIELD_RULES)
def test_a_broken_field_is_refused_with_feed_field_and_rule(
    build: Callable[[], Feed], field: str, rule: str
) -> None:
    with pytest.raises(ContractError) as caught:
        build()
    error = caught.value
    assert (error.feed, error.field) == ("orders", field)
    assert rule in str(error.rule)
    assert all(part in str(error) for part in ("'orders'", repr(field), rule))


@pytest.mark.parametrize(("kind", "rule"), TYPE_RULES.values(), ids=TYPE_RULES)
def test_a_broken_type_is_refused_with_feed_field_and_rule(kind: FieldType, rule: str) -> None:
    with pytest.raises(ContractError) as caught:
        feed(Field("size", kind, Keep()))
    assert (caught.value.feed, caught.value.field) == ("orders", "size")
    assert rule in str(caught.value)


@pytest.mark.parametrize(("changes", "rule"), FEED_RULES.values(), ids=FEED_RULES)
def test_a_broken_feed_is_refused_with_its_rule(changes: dict[str, object], rule: str) -> None:
    """Fault 55, among others: a name of 64 bytes, of which Postgres would keep 63."""
    with pytest.raises(ContractError) as caught:
        replace(feed(), **changes)  # type: ignore[arg-type]
    assert rule in str(caught.value)
    assert caught.value.feed == changes.get("name", "orders")


@pytest.mark.parametrize(("limits", "rule"), LIMIT_RULES.values(), ids=LIMIT_RULES)
def test_broken_limits_are_refused_with_their_rule(limits: dict[str, float], rule: str) -> None:
    """Faults 5, 6 and 14: what SQS allows, and what leaves a heartbeat its time."""
    with pytest.raises(ContractError) as caught:
        feed(limits=Limits(**limits))  # type: ignore[arg-type]
    assert rule in str(caught.value)
    assert "'orders'" in str(caught.value)


def test_runs_may_hold_as_much_as_is_allowed() -> None:
    """Fault 14."""
    assert feed(limits=Limits(batch_messages=25_000, max_runs=2)).limits.max_runs == 2


def test_names_of_63_bytes_are_taken() -> None:
    """Fault 55: Postgres cuts what is longer without a word."""
    longest = feed(
        Field(MAXIMAL, Integer(), Keep()),
        name=MAXIMAL,
        table=f"{MAXIMAL}.{MAXIMAL}",
        queue="q" * 80,
    )
    assert longest.schema_and_table == (MAXIMAL, MAXIMAL)


def test_neighbours_with_a_common_beginning_are_no_conflict() -> None:
    assert len(nested("device.id", "device_id", "device.id_two", "dev").fields) == 4


def test_a_table_without_a_schema_is_in_public() -> None:
    assert feed().schema_and_table == ("public", "orders")


def test_a_column_is_named_after_the_end_of_its_path() -> None:
    names = [each.name for each in EVERY_TYPE.fields]
    assert names[3:6] == ["ip", "room", "firmware"]
    assert Field("device.id", Text(9), Keep(), column="device").name == "device"


def test_the_time_of_sending_may_be_a_date_or_a_timestamp() -> None:
    both = feed(Field(SENT_AT, Date(), Keep(), column="d"), Field(SENT_AT, Timestamp(), Keep()))
    assert [each.name for each in both.fields] == ["d", "sent_at"]


def test_one_path_may_feed_two_columns() -> None:
    both = feed(
        Field("ip", IpAddress(), Encrypt(), column="who", personal=True),
        Field("ip", IpAddress(), IpPrefix(), column="network", personal=True),
    )
    assert [each.name for each in both.columns] == ["who", "network"]


def test_a_dropped_field_has_no_column_and_may_be_the_key() -> None:
    without = feed(Field("id", Integer(), Drop()), Field("n", Integer(), Keep()), key=("id",))
    assert [each.name for each in without.columns] == ["n"]
    assert [each.name for each in without.fields] == ["id", "n"]


def test_a_contract_cannot_be_changed_once_it_is_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        USER_LOGINS.name = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        USER_LOGINS.fields[0].policy = Pseudonymize()  # type: ignore[misc]


def test_user_logins_is_the_table_as_it_was_given() -> None:
    columns = {each.name: each.policy.sql(each.type) for each in USER_LOGINS.fields}
    assert (USER_LOGINS.queue, USER_LOGINS.schema_and_table) == (
        "login-queue",
        ("public", "user_logins"),
    )
    assert list(columns.items()) == [
        ("user_id", "varchar(128)"),
        ("device_type", "varchar(32)"),
        ("masked_ip", "varchar(256)"),
        ("masked_device_id", "varchar(256)"),
        ("locale", "varchar(32)"),
        ("app_version", "integer"),
        ("create_date", "date"),
    ]


def test_user_logins_masks_address_and_device_and_lets_only_the_locale_be_null() -> None:
    by_name = {each.name: each for each in USER_LOGINS.fields}
    masked = {name for name, each in by_name.items() if each.policy == Encrypt()}
    assert masked == {"masked_ip", "masked_device_id"}
    assert {name for name, each in by_name.items() if each.nullable} == {"locale"}
    assert {name for name, each in by_name.items() if each.personal} == masked | {"user_id"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"name": "type"}, "no word of Python or Dagster"),
        ({"name": "class"}, "no word of Python or Dagster"),
        ({"name": "ingest_logins"}, "no prefix ingest_"),
        ({"table": "pipeline.logins"}, "neither Postgres's nor this project's"),
        ({"table": "pg_temp.logins"}, "neither Postgres's nor this project's"),
    ],
)
def test_names_that_others_keep_for_themselves_are_refused(
    changes: dict[str, str], rule: str
) -> None:
    with pytest.raises(ContractError, match=rule):
        replace(USER_LOGINS, **changes)  # type: ignore[arg-type]


def test_a_system_column_is_no_column_of_a_feed() -> None:
    with pytest.raises(ContractError, match="system column") as caught:
        replace(USER_LOGINS, fields=(Field("ctid", Text(8), Keep()),))
    assert caught.value.field == "ctid"
