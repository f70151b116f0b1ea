"""The commands of a custodian: what they show, to whom, and what they record."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psycopg
import pytest

from pipeline.local import services
from pipeline.warehouse.schema import HEAD
from pipeline_tests.access_case import member_of
from pipeline_tests.cli_case import ERROR, alone, fails, pipeline, printed, process, succeeds
from pipeline_tests.custody_case import Desk, desk_at
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY, eventually
from pipeline_tests.test_unmask import declare_orders

ANN: Final = {"email": "ann@x.org", "phone": "+49 30 1", "ip": "10.0.0.1"}
BOB: Final = {"email": "bob@x.org", "phone": "+49 30 2", "ip": "10.0.0.2"}
# The command, in a deployment that has one more feed.
WITH_ORDERS: Final = """
import pipeline.feeds
pipeline.feeds.__path__.append({folder!r})
from pipeline.cli import main
main()
"""


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        yield desk


@pytest.fixture
def environment(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a custodian."""
    declare_orders(tmp_path, monkeypatch)
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(tmp_path),
        "USER": "eve",
        "AWS_REGION": "us-east-1",
        "PIPELINE_POSTGRES_URL": desk.url,
        "PIPELINE_CUSTODIAN_URL": desk.outside.custodian_url(),
        "PIPELINE_KEYRING": str(desk.keys.path),
        "FEEDS": str(tmp_path),
    }


def command(environment: Mapping[str, str], *arguments: str) -> list[str]:
    """Starts a process with the same feeds."""
    program = WITH_ORDERS.format(folder=environment["FEEDS"])
    return [sys.executable, "-c", program, *arguments]


def run(
    environment: Mapping[str, str], *arguments: str, given: str | bytes = ""
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    done = pipeline(environment, *arguments, given=given)
    return done.returncode, done.stdout, done.stderr


def run_apart(environment: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """The same of a process."""
    done = subprocess.run(
        command(environment, *arguments),
        env=dict(environment),
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


WHY: Final = ("--reason", "ticket 12")
TOKEN: Final = f"v1.{'a' * 43}"


def test_it_shows_each_value_beside_its_pseudonym(desk: Desk, environment: dict[str, str]) -> None:
    desk.load(ANN, BOB)
    ann, bob = desk.column("customer")
    expected = f"{ann}\tann@x.org\n{bob}\tbob@x.org\n"
    arguments = ("unmask", "orders", "customer")

    assert run(environment, *arguments, ann, bob, *WHY) == (0, expected, "")
    for given in ((), ("-",)):
        listed = run(environment, *arguments, *given, *WHY, given=f"{ann}\n\n{bob}\n")
        assert listed == (0, expected, "")
    records = ask(desk.url, "SELECT DISTINCT stated_by, reason FROM pipeline.audit")
    assert records == [("eve", "ticket 12")]


def test_what_does_not_open_is_told_beside_and_ends_with_1(
    desk: Desk, environment: dict[str, str]
) -> None:
    desk.load(ANN)
    (good,) = desk.column("customer")
    unknown = "v1." + "a" * 43
    code, out, err = run(environment, "unmask", "orders", "customer", unknown, good, *WHY)
    assert (code, out) == (1, f"{good}\tann@x.org\n")
    assert err == f"{unknown}: the vault does not have it: forgotten, or never there\n"


def test_a_value_cannot_command_the_terminal(desk: Desk, environment: dict[str, str]) -> None:
    desk.load({"email": "a\x1b[2J\tb\r\nc\\n\u202ed\x9b \u00e9"})
    (token,) = desk.column("customer")
    shown = f"{token}\ta\\x1b[2J\\tb\\r\\nc\\\\n\\u202ed\\x9b "
    arguments = ("unmask", "orders", "customer", token, *WHY)

    assert run(environment, *arguments)[1] == f"{shown}\u00e9\n"
    # A terminal that knows no such letter.
    assert run_apart({**environment, "PYTHONIOENCODING": "ascii"}, *arguments) == (
        0,
        f"{shown}\\xe9\n",
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("unmask", "orders", "customer", CANARY, *WHY), "E_TOKEN"),
        (("unmask", "orders", "customer", *WHY), "E_TOKEN"),
        (("unmask", "orders", CANARY, "v1.x", *WHY), "E_CONTRACT"),
        (("unmask", "orders", "city", "v1.x", *WHY), "E_CONTRACT"),
        (("unmask", "nobody", "customer", "v1.x", *WHY), "E_CONTRACT"),
        (("unmask", "orders", "customer", TOKEN, "--reason", " "), "E_AUDIT_REFUSED"),
        (("unmask", "--request", "0b9e50db-2e3f-4d3b-b90e-f70362fd1480"), "E_AUDIT_REFUSED"),
        (("forget", "orders", "city", *WHY), "E_CONTRACT"),
        (("forget", "orders", "customer", "--pseudonym", CANARY, *WHY), "E_TOKEN"),
        (("rotate", "nobody"), "E_CONTRACT"),
        (("rotate", "orders", "--reason", ""), "E_AUDIT_REFUSED"),
        (("rotate", "orders", "--reason", "\udcff"), "E_AUDIT_REFUSED"),
        (("unmask", "orders", "customer", TOKEN, "--reason", "\udcff"), "E_AUDIT_REFUSED"),
        (("unmask", "orders", "customer", TOKEN, *WHY, "--by", "\udcff"), "E_AUDIT_REFUSED"),
        (("unmask", "orders", "customer", TOKEN, "--reason", "of 10.0.0.1"), "E_AUDIT_REFUSED"),
        (("forget", "orders", "customer", "--reason", "for a@x.org"), "E_AUDIT_REFUSED"),
        (("forget", "orders", "customer", *WHY), "E_TOKEN"),
        (("rotate", "orders", "--reason", "+49 30 1234567"), "E_AUDIT_REFUSED"),
    ],
)
def test_what_is_wrong_is_one_line_without_a_value(
    desk: Desk, environment: dict[str, str], arguments: tuple[str, ...], code: str
) -> None:
    status, out, err = run(environment, *arguments)
    found = ERROR.fullmatch(err)
    assert found, err
    assert (status, out, found[1]) == (1, "", code)
    assert CANARY not in err
    assert desk.audit() == []


def test_bytes_that_are_no_text_are_no_reason(desk: Desk, environment: dict[str, str]) -> None:
    """As a shell hands them to a process."""
    given = (*("unmask", "orders", "customer", TOKEN), "--reason", os.fsdecode(b"\xff"))
    status, out, err = run_apart(environment, *given)
    found = ERROR.fullmatch(err)
    assert found, err
    assert (status, out, found[1]) == (1, "", "E_AUDIT_REFUSED")
    assert desk.audit() == []


def test_output_that_nobody_takes_is_one_clear_error(
    desk: Desk, environment: dict[str, str]
) -> None:
    """As on a disk that is full."""
    desk.load(ANN)
    (token,) = desk.column("customer")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command(environment, "unmask", "orders", "customer", token, *WHY),
        env=environment,
        cwd=Path(__file__).parents[1],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    found = ERROR.fullmatch(done.stderr)
    assert found, done.stderr
    assert (done.returncode, found[1]) == (1, "E_SETTINGS")
    assert "standard output took no more" in done.stderr


@pytest.mark.parametrize("given", [b"", b"\n", b"ann@x.org\nbob@x.org\n", b"\xff\xfe\n"])
def test_what_is_not_one_value_forgets_nobody(
    desk: Desk, environment: dict[str, str], given: bytes
) -> None:
    desk.load(ANN)
    code, out, err = run(environment, "forget", "orders", "customer", *WHY, given=given)
    assert "E_TOKEN: this is not one value on one line" in err
    assert (code, out) == (1, "")
    assert desk.audit() == []


def test_a_value_from_another_system_may_end_as_lines_do_there(
    desk: Desk, environment: dict[str, str]
) -> None:
    desk.load(ANN)
    _, out, _ = run(environment, "forget", "orders", "customer", *WHY, given="ann@x.org\r\n")
    assert "vault rows destroyed: 1\n" in out
    _, out, _ = run(environment, "forget", "orders", "customer", *WHY, given="eve@x.org\n")
    assert "nobody was found: never there, already forgotten, or spelled otherwise" in out


def test_bytes_that_are_no_text_are_refused(desk: Desk, environment: dict[str, str]) -> None:
    given = b"\xff\xfe" + CANARY.encode()
    _, _, err = run(environment, "unmask", "orders", "customer", *WHY, given=given)
    assert "E_TOKEN: number 1 " in err
    assert CANARY not in err
    assert desk.audit() == []


def test_without_a_custodians_log_in_nothing_opens(desk: Desk, environment: dict[str, str]) -> None:
    desk.load(ANN)
    del environment["PIPELINE_CUSTODIAN_URL"]
    _, out, err = run(environment, "unmask", "orders", "customer", *desk.column("customer"), *WHY)
    assert out == ""
    assert "E_SETTINGS: PIPELINE_CUSTODIAN_URL is not given" in err


@pytest.mark.parametrize("role", ["nobody", "analyst"])
def test_who_is_no_custodian_sees_nothing(
    desk: Desk, environment: dict[str, str], role: str
) -> None:
    desk.load(ANN)
    with member_of(desk.url, *([] if role == "nobody" else [role])) as url:
        environment["PIPELINE_CUSTODIAN_URL"] = url
        token = desk.column("customer")
        code, out, err = run(environment, "unmask", "orders", "customer", *token, *WHY)
    assert (code, out) == (1, "")
    assert "E_AUDIT_REFUSED: this log-in is no custodian" in err


def test_killed_between_the_record_and_the_vault_it_has_shown_nothing(
    desk: Desk, environment: dict[str, str]
) -> None:
    desk.load(ANN)
    (token,) = desk.column("customer")
    with psycopg.connect(desk.url) as holder:
        holder.execute("LOCK TABLE pipeline.vault IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen(
            command(environment, "unmask", "orders", "customer", token, *WHY),
            env=environment,
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
        ) as process:
            eventually(
                lambda: bool(
                    holder.execute(
                        "SELECT FROM pg_locks"
                        " WHERE NOT granted AND relation = 'pipeline.vault'::regclass"
                    ).fetchall()
                ),
                patience=60,
            )
            process.kill()
            assert process.stdout
            assert process.stdout.read() == b""
    assert desk.audit() == [("unmask", "email", token)]


def test_a_person_is_forgotten_by_a_value_on_standard_input(
    desk: Desk, environment: dict[str, str]
) -> None:
    desk.load(ANN, BOB)
    arguments = ("forget", "orders", "customer", *WHY)
    code, out, err = run(environment, *arguments, given="ann@x.org\n")
    assert (code, err) == (0, "")
    assert "vault rows destroyed: 1\n" in out
    assert "ann@" not in out
    code, out, err = run(environment, *arguments, given="ann@x.org\n")
    assert (code, err) == (0, "")
    assert "there was nothing left to do\n" in out


def test_a_terminal_does_not_echo_the_value(desk: Desk, environment: dict[str, str]) -> None:
    desk.load(ANN)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(environment, "forget", "orders", "customer", *WHY),
        env=environment,
        cwd=Path(__file__).parents[1],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ):
        os.close(theirs)
        shown = os.read(ours, 1_000)  # the prompt: from here on nothing is echoed
        assert b"not shown" in shown
        os.write(ours, b"ann@x.org\n")
        try:
            while chunk := os.read(ours, 1_000):
                shown += chunk
        except OSError:  # Linux says so at the end
            pass
    os.close(ours)
    assert b"vault rows destroyed: 1" in shown
    assert b"ann@" not in shown


def test_an_encrypted_person_is_forgotten_with_the_rows(
    desk: Desk, environment: dict[str, str]
) -> None:
    desk.load(ANN, BOB)
    ann, _ = desk.column("phone")
    arguments = ("forget", "orders", "phone", "--pseudonym", ann, *WHY)
    code, out, err = run(environment, *arguments)
    assert code == 1
    assert "rows that carry the pseudonym, untouched: 1\n" in out
    assert "--delete-rows" in err
    code, out, err = run(environment, *arguments, "--delete-rows")
    assert (code, err) == (0, "")
    assert "rows deleted: 1\n" in out
    assert len(desk.column("phone")) == 1


def test_rotation_tells_what_did_not_open(desk: Desk, environment: dict[str, str]) -> None:
    desk.load(ANN)
    ask(desk.url, "UPDATE shop.orders SET phone = %s", CANARY)
    assert "versions: 1, 2; current: 2" in run(environment, "keys", "new-version")[1]
    code, out, err = run(environment, "rotate", "orders")
    assert code == 1
    assert "customer: 1 values renewed, 0 left of what is not in the vault" in out
    assert "E_TOKEN: 1 rows hold what does not open" in err
    assert CANARY not in out + err


def test_the_keys_are_made_once_and_never_shown(tmp_path: Path) -> None:
    environment = alone(tmp_path / "local")
    told = succeeds(environment, "keys", "make")
    assert "versions: 1; current: 1" in told
    assert succeeds(environment, "keys", "make") == succeeds(environment, "keys", "show") == told
    content = (tmp_path / "local" / "keyring.json").read_text()
    (root,) = re.findall(r'"1":"([^"]+)"', content)
    assert root[:20] not in told


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for embedded services, which are stopped after the test."""
    folder = tmp_path / "local"
    yield folder
    services.stop(folder)


def test_everything_works_on_embedded_services_out_of_the_box(folder: Path) -> None:
    """Each command that opens or changes something in a process of its own."""
    environment = alone(folder)

    def works(*arguments: str) -> str:
        return printed(process(environment, *arguments))

    for arguments in (("seed", "user_logins", "--count", "50"), ("ingest", "user_logins")):
        works(*arguments)
    url = succeeds(environment, "url").strip()
    tokens = [token for (token,) in ask(url, "SELECT masked_ip FROM user_logins LIMIT 2")]
    opening = ("unmask", "user_logins", "masked_ip", *tokens, *WHY)
    shown = works(*opening)

    assert shown.count("\t") == len(set(tokens))
    works("keys", "new-version")
    assert "masked_ip: 50 values renewed" in works("rotate", "user_logins")
    assert succeeds(environment, *opening) == shown
    deletion = ("forget", "user_logins", "masked_ip", "--pseudonym", tokens[0], "--delete-rows")
    assert "rows deleted: 1\n" in works(*deletion, *WHY)
    assert f"version {HEAD}" in succeeds(environment, "migrate")
    code, _ = fails(environment, "unmask", "user_logins", "user_id", "x", *WHY)
    assert code == "E_CONTRACT"
    assert pipeline(environment, "unmask", "user_logins").returncode == 2
