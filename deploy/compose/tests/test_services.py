"""From `docker compose up` to an unmasked value, with each service as a process: `make compose`."""

import ipaddress
import json
import re
from pathlib import Path

from deploy.compose import make_secrets
from deploy.compose.tests.machine import Machine
from pipeline.feeds import discover
from pipeline_tests.samples import eventually, login

COUNT = "SELECT count(*) FROM user_logins"
MESSAGES = "/v1/feeds/user_logins/messages"


def rows(up: Machine, query: str) -> str:
    """What the analyst's log-in gets."""
    words = ["--tuples-only", "--no-align", "--command", query]
    answer = up.run("analyst", words)
    assert answer.returncode == 0, answer.stdout
    return answer.stdout.strip()


def test_what_is_seeded_is_loaded_by_the_sensor_and_unmasked_by_the_custodian(up: Machine) -> None:
    seeded = up.run("operator", ["pipeline", "seed", "user_logins", "--count", "200"])
    assert seeded.returncode == 0, seeded.stdout
    eventually(lambda: rows(up, COUNT) == "200", patience=120)
    pseudonym = rows(up, "SELECT masked_ip FROM user_logins LIMIT 1")
    asked = ["user_logins", "masked_ip", pseudonym, "--reason", "Ticket 4711: a test of the file"]
    opened = up.run("custodian", ["pipeline", "unmask", *asked])
    assert opened.returncode == 0, opened.stdout
    told, value = opened.stdout.strip().split("\t")
    assert told == pseudonym
    ipaddress.ip_address(value)  # raises where it is none


def test_what_is_seeded_is_ingested_by_hand(up: Machine) -> None:
    before = int(rows(up, COUNT))
    assert up.run("operator", ["pipeline", "seed", "user_logins", "--count", "20"]).returncode == 0
    by_hand = up.run("operator", ["pipeline", "ingest", "user_logins"])
    assert by_hand.returncode == 0, by_hand.stdout
    eventually(lambda: int(rows(up, COUNT)) == before + 20, patience=120)


def test_an_event_goes_in_with_a_key_and_none_of_its_values_into_a_log(up: Machine) -> None:
    event = login(ip="203.0.113.77", device_id="999-77-1234")
    key = (up.secrets / "sender_key").read_text()
    certificate = str(up.secrets / "gateway_certificate")
    words = ["--cacert", certificate, "--json", json.dumps(event)]
    words += ["--write-out", "\n%{http_code}", f"https://localhost:8443{MESSAGES}"]
    assert up.ask(*words).stdout.endswith("\n401")
    before = int(rows(up, COUNT))
    answer = up.ask("--header", f"Authorization: Bearer {key}", *words)
    assert answer.stdout.endswith("\n202"), answer
    eventually(lambda: rows(up, COUNT) == str(before + 1), patience=120)
    for log in (up.folder / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert "203.0.113.77" not in text, log.name
        assert "999-77-1234" not in text, log.name


def test_the_web_ui_is_for_whoever_has_the_password_and_metrics_for_nobody_outside(
    up: Machine,
) -> None:
    certificate = str(up.secrets / "web_gateway_certificate")
    code = ["--cacert", certificate, "--output", "/dev/null", "--write-out", "%{http_code}"]
    person = f"{make_secrets.PERSON}:{(up.secrets / 'web_password').read_text()}"
    for port in (8444, 8445):
        url = f"https://localhost:{port}/"
        assert up.ask(*code, url).stdout == "401"
        assert up.ask(*code, "--user", f"{make_secrets.PERSON}:wrong", url).stdout == "401"
        assert up.ask(*code, "--user", person, url).stdout == "200"
    outside = ["--cacert", str(up.secrets / "gateway_certificate"), *code[2:]]
    assert up.ask(*outside, "https://localhost:8443/metrics").stdout == "404"


def test_the_exporter_tells_of_every_feed(up: Machine) -> None:
    told = up.ask("http://localhost:9400/metrics").stdout
    assert {feed.name for feed in discover()} <= set(re.findall(r'feed="(\w+)"', told))


def test_the_analyst_sees_the_masked_table_and_nothing_of_ours(up: Machine) -> None:
    for table in ("TABLE pipeline.ledger", "TABLE pipeline.vault", "TABLE pipeline.audit"):
        asked = up.run("analyst", ["--command", table])
        assert asked.returncode != 0
        assert "permission denied" in asked.stdout


def test_nothing_is_set_up_so_that_it_will_go_wrong_later(up: Machine) -> None:
    checked = up.run("operator", ["pipeline", "check"])
    # Nobody is told of alerts here, and moto tells SQS's clock and tags as it likes.
    assert checked.returncode == 0, checked.stdout


def test_a_container_may_write_to_its_tmpfs_alone_and_has_no_capability(up: Machine) -> None:
    for name, container in up.running.items():
        for folder in ("/", "/app", "/app/home", "/opt/venv/lib", "/etc", "/run/secrets", "/usr"):
            tried = container.within(["/bin/sh", "-c", f"touch {folder}/x 2>/dev/null"])
            assert tried.returncode != 0, (name, folder)
        status = container.within(["/bin/cat", "/proc/1/status"]).stdout
        said = dict(re.findall(r"^(\w+):\s+(\w+)", status, re.MULTILINE))
        assert {said[f"Cap{each}"] for each in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert said["NoNewPrivs"] == "1"
        assert said["Uid"] == str(container.order["user"])


def test_a_process_knows_no_secret_of_another(up: Machine) -> None:
    names = [name for name in up.secrets.iterdir() if not name.name.startswith("gateway")]
    known = {path.name: path.read_bytes().strip() for path in names}
    for service, container in up.running.items():
        processes = container.processes()
        environment = b"".join(Path(f"/proc/{each}/environ").read_bytes() for each in processes)
        found = {name for name, value in known.items() if value in environment}
        assert found <= set(container.service.secrets), service
        in_url = {name for name in container.service.secrets if name.endswith("_url")}
        assert found >= in_url, "nothing would be found where nothing is looked for"
        there = container.within(["/bin/ls", "/run/secrets"]).stdout.split()
        assert set(there) == set(container.service.secrets), service


def test_what_is_told_to_stop_ends_within_its_grace(up: Machine) -> None:
    for name in reversed(list(up.running)):
        up.running.pop(name).stop()
