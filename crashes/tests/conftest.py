"""What these tests may ask for: the Postgres, the queue and the servers of the suite."""

pytest_plugins = [
    "pipeline_tests.queue_fixtures",
    "pipeline_tests.postgres_fixtures",
    "pipeline_tests.world_fixtures",
    "pipeline_tests.privacy_fixtures",
    "pipeline_tests.fetch_fixtures",
]
