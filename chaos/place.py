"""Where a chaos run keeps its things, and the environment of the processes that it starts."""

import os
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"

_DAGSTER: Final = """\
# As the project's own dagster.yaml, in seconds instead of minutes.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    # A run that was killed holds its place until the age limit below.
    max_concurrent_runs: 16
# A launch waits until the worker is up, some seconds: one after the other would be too few.
run_queue:
  dequeue_use_threads: true
  dequeue_num_workers: 4
  # Else every run that waits fails at once while the code server is started again.
  max_user_code_failure_retries: 5
  user_code_failure_retry_delay: 10
run_monitoring:
  enabled: true
  start_timeout_seconds: 90
  cancel_timeout_seconds: 20
  max_runtime_seconds: 35
  max_resume_run_attempts: 0
  poll_interval_seconds: 5
sensors:
  use_threads: true
  num_workers: 4
retention:
  sensor:
    purge_after_days:
      skipped: 1
python_logs:
  managed_python_loggers: [pipeline]
  python_log_level: INFO
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one chaos run.

    Attributes:
        root: Private, empty at the start.
    """

    root: Path

    @property
    def postgres(self) -> Path:
        """All that the server has."""
        return self.root / "postgres"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.root / "dagster"

    @property
    def said(self) -> Path:
        """What every process prints, a file for each, and what Postgres has logged."""
        return self.root / "said"

    @property
    def temporary(self) -> Path:
        """Temporary files of every process, and the folder in which they run."""
        return self.root / "temporary"

    @property
    def accepted(self) -> Path:
        """The logs of what was sent."""
        return self.root / "accepted"

    @property
    def keyring(self) -> Path:
        """The key file."""
        return self.root / "keys" / "keyring.json"

    def make(self, code_server: int) -> None:
        """Makes the folders, and what Dagster reads.

        Args:
            code_server: The port of the code server.
        """
        ours = (self.postgres, self.dagster, self.said, self.temporary, self.accepted)
        for folder in (*ours, self.keyring.parent):
            folder.mkdir(mode=0o700)
        (self.dagster / "dagster.yaml").write_text(_DAGSTER)
        self.workspace.write_text(
            f"load_from:\n  - grpc_server:\n      host: {HOST}\n      port: {code_server}\n"
            "      location_name: chaos\n"
        )

    @property
    def workspace(self) -> Path:
        """Where the daemon finds the code server."""
        return self.dagster / "workspace.yaml"

    def environment(
        self, queue_url: str, postgres_url: str, webhook_url: str = ""
    ) -> dict[str, str]:
        """The environment that leads to this run's services, and to nothing of this machine."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.root),
            "TMPDIR": str(self.temporary),
            "DAGSTER_HOME": str(self.dagster),
            "PYTHONUNBUFFERED": "1",
            "AWS_ENDPOINT_URL_SQS": queue_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "chaos",
            "AWS_SECRET_ACCESS_KEY": "chaos",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.root / "no-aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.root / "no-aws-credentials"),
            "PIPELINE_POSTGRES_URL": postgres_url,
            "PIPELINE_CUSTODIAN_URL": f"{postgres_url}?options=-c%20role%3Dcustodian",
            "PIPELINE_KEYRING": str(self.keyring),
            "PIPELINE_ALERT_WEBHOOK_URL": webhook_url,
            "PIPELINE_ALERT_WARNINGS": "1",
        }


def free_port() -> int:
    """A port at which nobody listens."""
    with closing(socket.create_server((HOST, 0))) as listener:
        port: int = listener.getsockname()[1]
    return port
