"""What Postgres makes of rows by itself tells no value: statistics, indexes, its log of writes."""

from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.load_case import batch, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.privacy_case import Traces, record
from pipeline_tests.samples import message
from pipeline_tests.world import World


def test_statistics_indexes_and_the_write_ahead_log_hold_no_value(
    world: World, canaries: Canaries, traces: Traces
) -> None:
    """The commonest values are sampled as they stand: one device of all, and one address."""
    url = prepared(world.postgres_url)
    common = {"ip": canaries.address(1), "device_id": canaries.device(1)}
    logins = [message(record(canaries, place) | common) for place in range(200)]
    settle(batch([*logins, message(record(canaries, 200) | {"ip": [canaries.address(2)]})]), url)
    world.query("ANALYZE")

    commonest = ask(
        url,
        "SELECT attname, most_common_vals::text FROM pg_stats"
        " WHERE tablename = 'user_logins' AND most_common_vals IS NOT NULL",
    )
    assert {"masked_ip", "masked_device_id"} <= {name for name, _ in commonest}
    assert not found_in(repr(commonest).encode(), canaries.masked_needles())
    assert ask(url, "SELECT count(*) FROM pipeline.quarantine") == [(1,)]
    # All files: tables, indexes, pg_statistic, pg_wal.
    assert traces.find_stored(canaries.masked_needles()) == {}


def test_nothing_is_published_to_replicas_and_no_table_loses_its_log(world: World) -> None:
    """A table that is not logged is lost in a crash; one that is published is kept elsewhere."""
    url = prepared(world.postgres_url)
    assert ask(url, "SELECT FROM pg_publication") == []
    assert ask(url, "SELECT relname FROM pg_class WHERE relpersistence = 'u'") == []
