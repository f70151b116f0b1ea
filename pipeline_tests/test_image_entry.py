"""The image's entry point: settings from files, refusals without a value, and then the command."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from deploy.image import entry
from pipeline_tests.samples import PATIENCE

SECRET: Final = "postgresql://loader:canary@db/warehouse"  # noqa: S105 - of nobody
TELLS: Final = "import os; print(dict(os.environ))"


def run(
    environment: Mapping[str, str], *command: str, as_one: bool = True
) -> subprocess.CompletedProcess[str]:
    """What the entry point does with a command; `as_one` puts this Python before it."""
    words = [sys.executable, "-I", "-S", entry.__file__, *([sys.executable] if as_one else [])]
    return subprocess.run(
        [*words, *command],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that holds a secret, as an orchestrator mounts it."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    return file


def test_setting_comes_from_its_file_and_the_name_of_the_file_is_gone(secret: Path) -> None:
    found = entry.settings({"PIPELINE_POSTGRES_URL_FILE": str(secret), "PATH": "/bin"})
    assert found == {"PIPELINE_POSTGRES_URL": SECRET, "PATH": "/bin"}


@pytest.mark.parametrize(
    "name",
    [
        "PIPELINE_ANYTHING_AT_ALL",
        "DAGSTER_POSTGRES_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ],
)
def test_project_and_what_it_needs_of_others_may_come_from_files(name: str, secret: Path) -> None:
    assert entry.settings({f"{name}_FILE": str(secret)}) == {name: SECRET}


@pytest.mark.parametrize(
    "name",
    [
        "SSL_CERT_FILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "DAGSTER_PYTHON_FILE",
    ],
)
def test_files_that_others_read_themselves_are_left_to_them(name: str, secret: Path) -> None:
    assert entry.settings({name: str(secret)}) == {name: str(secret)}


def test_one_line_end_is_the_editors_and_all_else_is_the_secrets(tmp_path: Path) -> None:
    for held, taken in (("x", "x"), ("x\n", "x"), ("x\r\n", "x"), (" x \n\n", " x \n"), ("é", "é")):
        file = tmp_path / "secret"
        file.write_bytes(held.encode())
        assert entry.settings({"PIPELINE_X_FILE": str(file)}) == {"PIPELINE_X": taken}


def test_empty_name_of_a_file_counts_as_none_given() -> None:
    given = {"PIPELINE_X_FILE": "", "PIPELINE_Y": "y", "PIPELINE_Y_FILE": ""}
    assert entry.settings(given) == {"PIPELINE_Y": "y"}


def test_empty_setting_gives_way_to_its_file(secret: Path) -> None:
    given = {"PIPELINE_X": "", "PIPELINE_X_FILE": str(secret)}
    assert entry.settings(given) == {"PIPELINE_X": SECRET}


def test_setting_that_is_given_twice_is_refused(secret: Path) -> None:
    both = {"PIPELINE_X": "canary-value", "PIPELINE_X_FILE": str(secret)}
    with pytest.raises(
        entry.Refused, match="PIPELINE_X and PIPELINE_X_FILE are both set"
    ) as refused:
        entry.settings(both)
    assert "canary" not in str(refused.value)


def test_file_that_cannot_be_taken_is_refused_by_its_name_alone(tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases = {
        tmp_path / "missing": "No such file",
        tmp_path: "Is a directory",
        pipe: "it is no file",
        file("empty", b"\n"): "is empty",
        file("bytes", b"canary\xff"): "is not text",
        file("zero", b"canary\0x"): "holds a zero byte",
        file("large", b"canary" * 40_000): "is larger than 120 KiB",
    }
    for path, reason in cases.items():
        with pytest.raises(entry.Refused, match=reason) as refused:
            entry.settings({"PIPELINE_X_FILE": str(path)})
        assert str(path) in str(refused.value)
        assert "PIPELINE_X_FILE" in str(refused.value)
        assert "canary" not in str(refused.value)
        assert refused.value.__cause__ is None


def test_largest_file_still_starts_a_command(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * entry.LARGEST)
    done = run(
        {"PIPELINE_X_FILE": str(file)}, "-c", "import os; print(len(os.environ['PIPELINE_X']))"
    )
    assert (done.stdout, done.stderr) == (f"{entry.LARGEST}\n", "")


def test_command_gets_the_setting_and_the_arguments_as_they_are(secret: Path) -> None:
    code = f"{TELLS}; import sys; print(sys.argv[1:])"
    done = run({"PIPELINE_X_FILE": str(secret)}, "-c", code, "a b", "$HOME", "")
    assert done.returncode == 0
    assert f"'PIPELINE_X': '{SECRET}'" in done.stdout
    assert "PIPELINE_X_FILE" not in done.stdout
    assert done.stdout.endswith("['a b', '$HOME', '']\n")


def test_refusal_is_one_line_without_a_traceback(secret: Path) -> None:
    done = run({"PIPELINE_X": "canary", "PIPELINE_X_FILE": str(secret)}, "-c", TELLS)
    assert done.returncode == entry.SETTING
    assert done.stdout == ""
    assert done.stderr == "entry: PIPELINE_X and PIPELINE_X_FILE are both set: unset one of them\n"


def test_command_that_is_missing_cannot_run_or_was_not_named_is_said(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    outcomes = {
        (): (entry.SETTING, "entry: which command? For example: pipeline --help\n"),
        ("no-such-thing",): (entry.NOT_FOUND, "entry: there is no command no-such-thing\n"),
        (str(plain),): (entry.NOT_RUN, f"entry: cannot run {plain}: Permission denied\n"),
    }
    for command, outcome in outcomes.items():
        done = run({"PATH": "/usr/bin:/bin"}, *command, as_one=False)
        assert (done.returncode, done.stderr) == outcome


def test_command_takes_the_place_of_the_entry_point_and_hears_signals() -> None:
    code = """
import os, resource, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(os.getpid(), resource.getrlimit(resource.RLIMIT_CORE), flush=True)
signal.pause()
"""
    words = [sys.executable, "-I", "-S", entry.__file__, sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout
            assert started.stdout.readline() == f"{started.pid} (0, 0)\n"
            started.send_signal(signal.SIGTERM)
            assert started.wait(PATIENCE) == 7
        finally:
            started.kill()


def test_variables_of_python_change_nothing_in_the_entry_point(tmp_path: Path) -> None:
    (tmp_path / "resource.py").write_text("raise SystemExit('taken over')")
    done = run({"PYTHONPATH": str(tmp_path)}, "-c", "print('mine')")
    assert (done.returncode, done.stdout) == (0, "mine\n")
