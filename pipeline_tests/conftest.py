"""What every test may ask for: a real Postgres, and an SQS that speaks the protocol."""

import os

pytest_plugins = [
    "pipeline_tests.queue_fixtures",
    "pipeline_tests.postgres_fixtures",
    "pipeline_tests.world_fixtures",
    "pipeline_tests.privacy_fixtures",
    "pipeline_tests.audit_fixtures",
    "pipeline_tests.fetch_fixtures",
    "pipeline_tests.delivery_fixtures",
]


def pytest_configure() -> None:
    """Rich chooses colours when the command line is imported: those of no terminal."""
    os.environ["TTY_COMPATIBLE"] = "0"
