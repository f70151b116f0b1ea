"""What the exporter tells: of what has happened, and of each source whatever the other does."""

import threading
from dataclasses import replace
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from pipeline.errors import QueueUnreachable, SettingsError
from pipeline.feeds.user_logins import FEED
from pipeline.operate.metrics.collector import PipelineCollector
from pipeline.operate.metrics.place import Place
from pipeline.operate.metrics.reading import QueueReading, QueuesReading, WarehouseReading
from pipeline.operate.metrics.warehouse import MOST_COUNTED, add_up
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import prepared
from pipeline_tests.metrics_case import FEEDS, registry_of, scrape
from pipeline_tests.outside_world import ask, unused_port
from pipeline_tests.world import World, sample_bodies

LOGINS: Final = {"feed": "user_logins"}
QUEUE: Final = QueueReading(
    depth=3, in_flight=2, delayed=1, dead_letters=4, retention=60, most_deliveries=20, clock_ahead=0
)
WAREHOUSE: Final = WarehouseReading(
    version="0001", totals={}, quarantine=(), rows={}, size=1, clock_ahead=0.5
)


def queues() -> QueuesReading:
    return QueuesReading({"user_logins": QUEUE})


def registry(**sources: object) -> CollectorRegistry:
    """A registry over readings that a test makes up."""
    given = {"queues": queues, "warehouse": lambda: WAREHOUSE, "seconds": 5.0} | sources
    made = CollectorRegistry()
    made.register(PipelineCollector([FEED], **given))  # type: ignore[arg-type] # as above
    return made


def test_of_a_run_everything_is_told(world: World) -> None:
    """Ninety-nine rows, one in the quarantine, and three messages that wait."""
    world.send(sample_bodies())
    world.ingest()
    world.send(sample_bodies()[:3])
    migrate(world.postgres_url, FEEDS)
    ask(world.postgres_url, "ANALYZE user_logins")
    # As deployed: the exporter's log-in may read counts, and no row.
    with member_of(world.postgres_url, "monitor") as url:
        found = scrape(registry_of({**world.environment, "PIPELINE_MONITOR_URL": url}))
    assert {
        name: found.value(f"pipeline_{name}", **LOGINS)
        for name in (
            "batches_total", "received_total", "loaded_total", "duplicate_total",
            "released_total", "queue_depth", "queue_in_flight", "queue_delayed",
            "dead_letters", "queue_up", "queue_most_deliveries", "table_rows",
        )
    } == {
        "batches_total": 1, "received_total": 100, "loaded_total": 99, "duplicate_total": 0,
        "released_total": 0, "queue_depth": 3, "queue_in_flight": 0, "queue_delayed": 0,
        "dead_letters": None, "queue_up": 1, "queue_most_deliveries": 0, "table_rows": 99,
    }  # fmt: skip
    assert found.value("pipeline_quarantined_total", **LOGINS, reason="missing") == 1
    assert found.value("pipeline_quarantined_total", **LOGINS, reason="not_json") == 0
    assert found.value("pipeline_quarantine_messages", **LOGINS, reason="missing") == 1
    assert found.value("pipeline_runs_total", **LOGINS, outcome="success") == 1
    assert found.value("pipeline_runs_total", **LOGINS, outcome="E_KEYRING") == 0
    assert (found.value("pipeline_stage_seconds_total", **LOGINS, stage="load") or 0) > 0
    version = found.value("pipeline_schema_version")
    assert version == found.value("pipeline_schema_version_wanted")
    assert abs(found.value("pipeline_clock_ahead_seconds", source="warehouse") or 9) < 5
    # The other feeds have no queue: that costs only their own figures.
    assert found.value("pipeline_queue_up", feed="pokemon") == 0
    assert found.value("pipeline_up", source="sqs") == 1
    assert found.value("pipeline_queue_depth", feed="pokemon") is None
    errors = {"source": "sqs", "code": "E_QUEUE_MISSING"}
    assert found.value("pipeline_scrape_errors_total", **errors) == 2
    # Nor have they had a batch: they are counted from zero.
    assert found.value("pipeline_loaded_total", feed="pokemon") == 0
    assert found.value("pipeline_last_success_timestamp_seconds", feed="pokemon") is None


class TestSources:
    """One that is dead or hangs, and the figures of the other."""

    def test_without_postgres_there_are_queues(self, world: World) -> None:
        with unused_port() as port:
            url = f"postgresql://nobody@127.0.0.1:{port}/none"
            found = scrape(registry_of({**world.environment, "PIPELINE_MONITOR_URL": url}))
        assert found.value("pipeline_up", source="warehouse") == 0
        assert found.value("pipeline_queue_depth", **LOGINS) == 0
        errors = {"source": "warehouse", "code": "E_WAREHOUSE_UNAVAILABLE"}
        assert found.value("pipeline_scrape_errors_total", **errors) == 1
        assert not any(name.startswith("pipeline_loaded") for name in found.names)

    def test_without_sqs_there_is_the_warehouse(self, world: World) -> None:
        prepared(world.postgres_url)
        with unused_port() as port:
            endpoint = {"AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{port}"}
            found = scrape(registry_of({**world.environment, **endpoint}))
        assert found.value("pipeline_up", source="sqs") == 0
        assert found.value("pipeline_loaded_total", **LOGINS) == 0
        errors = {"source": "sqs", "code": "E_QUEUE_UNREACHABLE"}
        assert found.value("pipeline_scrape_errors_total", **errors) == 1

    def test_one_that_hangs_is_given_up_and_not_asked_twice(self) -> None:
        over, asked = threading.Event(), []

        def hang() -> WarehouseReading:
            asked.append("once")
            over.wait(10)
            return WAREHOUSE

        made = registry(warehouse=hang, seconds=0.05)
        first, second = scrape(made), scrape(made)
        over.set()

        assert asked == ["once"]
        assert first.value("pipeline_up", source="warehouse") == 0
        assert first.value("pipeline_queue_depth", **LOGINS) == 3
        errors = {"source": "warehouse", "code": "too_slow"}
        assert second.value("pipeline_scrape_errors_total", **errors) == 2

    def test_a_bug_in_one_does_not_empty_the_other(self) -> None:
        def broken() -> QueuesReading:
            raise ZeroDivisionError

        found = scrape(registry(queues=broken))
        assert found.value("pipeline_up", source="sqs") == 0
        assert found.value("pipeline_up", source="warehouse") == 1
        errors = {"source": "sqs", "code": "E_UNEXPECTED"}
        assert found.value("pipeline_scrape_errors_total", **errors) == 1

    def test_errors_are_counted_on_and_on(self) -> None:
        def down() -> QueuesReading:
            raise QueueUnreachable("down", remedy="wait")

        made = registry(queues=down)
        scrape(made)
        errors = {"source": "sqs", "code": "E_QUEUE_UNREACHABLE"}
        assert scrape(made).value("pipeline_scrape_errors_total", **errors) == 2

    def test_nothing_is_read_before_somebody_asks(self) -> None:
        asked: list[str] = []
        registry(queues=lambda: asked.append("once"))
        assert asked == []


class TestFigures:
    """What is worked out of what was read."""

    def test_a_queue_waits_from_when_it_was_last_seen_empty(self) -> None:
        depths = iter([0, 3, 3, 0])
        made = registry(
            queues=lambda: QueuesReading({"user_logins": replace(QUEUE, depth=next(depths))})
        )
        waited = [scrape(made).value("pipeline_queue_waiting_seconds", **LOGINS) for _ in range(4)]
        assert waited[0] == waited[3] == 0
        assert 0 < (waited[1] or 0) < (waited[2] or 0)

    def test_a_queue_that_waits_from_the_first_look_on_counts_from_there(self) -> None:
        made = registry()
        assert scrape(made).value("pipeline_queue_waiting_seconds", **LOGINS) == 0
        assert (scrape(made).value("pipeline_queue_waiting_seconds", **LOGINS) or 0) > 0

    def test_an_older_warehouse_tells_its_version_and_no_totals(self) -> None:
        found = scrape(registry())
        assert found.value("pipeline_schema_version") == 1
        assert "pipeline_loaded_total" not in found.names

    def test_no_slots_are_no_totals(self) -> None:
        assert add_up([]).counts["received"] == 0

    def test_a_full_quarantine_is_counted_up_to_a_bound(self, world: World) -> None:
        prepared(world.postgres_url)
        ask(
            world.postgres_url,
            "INSERT INTO pipeline.quarantine (feed, key, message_id, reason, receive_count,"
            " sent_at, body_sealed) SELECT 'user_logins', decode(lpad(to_hex(n), 8, '0'), 'hex'),"
            " 'id', 'missing', 1, now(), '' FROM generate_series(1, 10500) AS n",
        )
        found = scrape(registry_of(world.environment))
        lying = found.value("pipeline_quarantine_messages", **LOGINS, reason="missing")
        assert lying == MOST_COUNTED


class TestPlace:
    """Where the exporter looks."""

    def test_half_a_configuration_is_refused(self) -> None:
        monitor = {"PIPELINE_MONITOR_URL": "postgresql://m@db/warehouse"}
        with pytest.raises(SettingsError, match="no AWS settings"):
            Place.of(monitor)
        with pytest.raises(SettingsError, match="neither PIPELINE_MONITOR_URL nor"):
            Place.of({"AWS_REGION": "eu-central-1"})

    def test_its_own_log_in_comes_first(self) -> None:
        both = {
            "AWS_REGION": "eu-central-1",
            "PIPELINE_POSTGRES_URL": "postgresql://loader@db/warehouse",
            "PIPELINE_MONITOR_URL": "postgresql://monitor@db/warehouse",
        }
        assert Place.of(both).postgres_url == both["PIPELINE_MONITOR_URL"]
        del both["PIPELINE_MONITOR_URL"]
        assert Place.of(both).postgres_url == both["PIPELINE_POSTGRES_URL"]

    def test_a_url_that_is_none_is_not_repeated(self) -> None:
        url = "postgresql://me:secret@[nowhere/warehouse"
        given = {"AWS_REGION": "eu-central-1", "PIPELINE_MONITOR_URL": url}
        found = scrape(registry_of(given | {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9"}))
        errors = {"source": "warehouse", "code": "E_SETTINGS"}
        assert found.value("pipeline_scrape_errors_total", **errors) == 1
