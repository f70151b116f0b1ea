"""What of a table the checks read: of whatever shape and size, and of values of any length."""

import json

import dagster as dg

from pipeline.consume.readiness import check_sink
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline.types import Text
from pipeline_tests.checks_case import (
    KEPT,
    MASKED,
    changed,
    counts,
    evaluations,
    number,
    run,
)
from pipeline_tests.samples import login
from pipeline_tests.world import World


def test_rows_on_pages_that_a_deletion_has_freed_are_looked_at(world: World) -> None:
    """A table larger than the window: most of its pages are drawn, and all at its end are read."""
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    world.query("ALTER TABLE user_logins SET (fillfactor = 40, autovacuum_enabled = off)")
    world.query(
        "INSERT INTO user_logins (user_id, locale, device_type)"
        " SELECT repeat('x', 128), repeat('x', 32),"
        " CASE n WHEN 20000 THEN '+1 415 555 0100' ELSE repeat('x', 32) END"
        " FROM generate_series(1, 20000) AS n"
    )
    world.query("DELETE FROM user_logins WHERE ctid < '(120,0)'")
    world.query("VACUUM user_logins")
    world.query(
        "INSERT INTO user_logins (user_id, masked_ip)"
        " SELECT 'ask ann@example.org', '203.0.113.77' FROM generate_series(1, 3000)"
    )
    ((pages, leaking),) = world.query(
        "SELECT pg_relation_size('user_logins') / 8192, count(DISTINCT (ctid::text::point)[0])"
        " FILTER (WHERE masked_ip = '203.0.113.77' AND ctid < '(120,0)') FROM user_logins"
    )
    # The end alone, as large as the window, would miss them; more than one page in two is drawn.
    assert 1_120 < pages < 1_500
    assert leaking > 60
    world.send([json.dumps(login())])
    checks = evaluations(world.run())
    assert number(checks[KEPT], "user_id/email") > 0
    assert number(checks[MASKED], "unmasked/masked_ip") > 0
    assert number(checks[MASKED], "rows") < 20_000
    assert counts(checks[KEPT])["device_type/phone"] == 1


def test_a_table_of_many_parts_is_checked_as_well(world: World) -> None:
    feed = find("user_logins")
    check_sink(feed, url=world.postgres_url, keyring=KeyFile(world.keyring))
    world.query(
        "ALTER TABLE user_logins RENAME TO part;"
        "CREATE TABLE user_logins (LIKE part INCLUDING ALL) PARTITION BY LIST (locale);"
        "ALTER TABLE user_logins ATTACH PARTITION part FOR VALUES IN ('DE');"
        "CREATE TABLE others PARTITION OF user_logins DEFAULT"
    )
    changes = [{"locale": "DE", "user_id": "ann@example.org"}, {"locale": "203.0.113.77"}]
    assert counts(run(world, feed, changes)[KEPT]) == {"user_id/email": 1, "locale/address": 1}


def test_a_view_is_not_checked_and_fails_no_run(world: World) -> None:
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    world.query(
        "ALTER TABLE user_logins RENAME TO beneath;CREATE VIEW user_logins AS SELECT * FROM beneath"
    )
    world.send([json.dumps(login())])
    result = world.run()
    checks = evaluations(result)
    assert result.success
    for name in (MASKED, KEPT):
        assert checks[name].severity is dg.AssetCheckSeverity.WARN
        assert "not checked: E_TABLE_MISMATCH: " in (checks[name].description or "")


def test_of_a_long_value_the_beginning_is_scanned(world: World) -> None:
    feed = changed("user_id", type=Text(100_000))
    texts = ("a" * 9_900 + " ann@example.org", "a" * 10_001 + " bob@example.org")
    assert counts(run(world, feed, [{"user_id": text} for text in texts])[KEPT]) == {
        "user_id/email": 1
    }
