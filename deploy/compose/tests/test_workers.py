"""The profile `workers`: a run that the daemon asks for is executed by a worker, over Redis."""

import tempfile
from pathlib import Path

from deploy.compose.tests.composed import DEPLOY
from deploy.compose.tests.machine import machine
from pipeline_tests.samples import eventually

NEEDED = ("code", "daemon", "redis", "worker")


def test_a_worker_executes_what_the_daemon_asks_for() -> None:
    lines = (DEPLOY / "compose" / "workers.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    with tempfile.TemporaryDirectory(prefix="compose-") as name:
        Path(name).chmod(0o755)
        with machine(Path(name), given) as made:
            made.up(made.with_all_before(NEEDED))
            seeded = made.run("operator", ["pipeline", "seed", "user_logins", "--count", "50"])
            assert seeded.returncode == 0, seeded.stdout
            count = ["--tuples-only", "--command", "SELECT count(*) FROM user_logins"]
            eventually(lambda: made.run("analyst", count).stdout.strip() == "50", patience=120)
            assert "user_logins" in made.log("worker")
