"""Whatever a process logs, raises or dies of, no personal value gets out."""

import io
import logging
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline import safeguards
from pipeline.errors import KeyringError, values_kept_out
from pipeline_tests.samples import CANARY

PERSONAL: Final = "ann@example.org"
ADDRESS: Final = "203.0.113.77"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is process-wide is as before after each test; core dumps stay forbidden."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a handler of a logger of its own writes, far from the root logger."""
    logger, text = logging.getLogger("elsewhere.deep"), io.StringIO()
    handler = logging.StreamHandler(text)
    logger.addHandler(handler)
    logger.propagate = False
    yield text
    logger.removeHandler(handler)
    logger.propagate = True


class Keeping(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


LOGGER: Final = logging.getLogger("elsewhere.deep")


def test_a_message_and_its_arguments_are_clean_whatever_the_logger(lines: io.StringIO) -> None:
    safeguards.install()
    LOGGER.warning("from %s: %s", PERSONAL, {"ip": ADDRESS})
    LOGGER.warning("from %(who)s", {"who": PERSONAL})
    LOGGER.warning(f"from {PERSONAL}")  # noqa: G004 - what a slip looks like
    assert lines.getvalue() == ("from [email]: {'ip': '[address]'}\nfrom [email]\nfrom [email]\n")


def test_a_value_that_only_the_whole_message_shows_is_found(lines: io.StringIO) -> None:
    safeguards.install()
    LOGGER.warning("%s@%s and %d", "ann", "example.org", 4111111111111111)
    assert lines.getvalue() == "[email] and [card]\n"


def test_arguments_stay_apart_for_handlers_that_look_at_them() -> None:
    safeguards.install()
    kept = Keeping()
    LOGGER.addHandler(kept)
    try:
        LOGGER.warning("%s - %d", f"{ADDRESS}:80", 200)
        LOGGER.warning("%s - %d", "127.0.0.1:80", 200, extra={"dagster_meta": {"of": ADDRESS}})
    finally:
        LOGGER.removeHandler(kept)
    assert [record.args for record in kept.records] == [
        ("[address]:80", 200),
        ("127.0.0.1:80", 200),
    ]
    assert vars(kept.records[1])["dagster_meta"] == {"of": ADDRESS}


def test_arguments_that_do_not_fit_are_not_printed(
    lines: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    safeguards.install()
    LOGGER.warning("%d rows", CANARY)
    assert lines.getvalue() == "a message that TypeError kept from being put\n"
    assert CANARY not in "".join(capfd.readouterr())


def test_of_a_logged_exception_types_and_places_stay(lines: io.StringIO) -> None:
    safeguards.install()
    try:
        int(CANARY)
    except ValueError:
        LOGGER.exception("failed")
    assert CANARY not in lines.getvalue()
    assert "ValueError (its text is withheld)" in lines.getvalue()
    assert f"at {__file__}:" in lines.getvalue()


def test_an_exception_as_an_argument_or_as_the_message_is_told_by_its_type(
    lines: io.StringIO,
) -> None:
    safeguards.install()
    LOGGER.warning("failed: %s", ValueError(CANARY))
    LOGGER.warning(KeyError(CANARY))
    LOGGER.warning("failed: %s", KeyringError("gone", remedy="Look"))
    assert lines.getvalue() == "failed: ValueError\nKeyError\nfailed: E_KEYRING: gone. Look\n"


def test_hooks_are_told_of_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def tell(given: Any) -> None:  # noqa: ANN401 - of either kind
        told.append(f"{given}" + "".join(traceback.format_exception(*given[:3])))

    monkeypatch.setattr(sys, "excepthook", lambda *given: tell(given))
    monkeypatch.setattr(threading, "excepthook", tell)
    monkeypatch.setattr(sys, "unraisablehook", tell)
    safeguards.install()
    try:
        int(CANARY)
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    thread = threading.Thread(target=int, args=(CANARY,))
    thread.start()
    thread.join()
    fail_unraisably()
    assert len(told) == 3
    assert all("ValueError (its text is withheld)" in each for each in told)
    assert CANARY not in "".join(told)


class Fails:
    """What Python calls where nobody can catch what it raises, and tells the name of."""

    def __repr__(self) -> str:
        return CANARY

    def __call__(self, _: object) -> None:
        int(CANARY)


def fail_unraisably() -> None:
    """Makes an exception that nobody can catch."""
    seen = Keeping()
    watcher = weakref.ref(seen, Fails())
    del seen
    assert watcher() is None


def test_a_warning_is_scrubbed() -> None:
    safeguards.install()
    text = warnings.formatwarning(f"cannot read {PERSONAL}", UserWarning, "a.py", 1, "x = 1")
    assert "UserWarning: cannot read [email]" in text


def test_libraries_that_log_bodies_stay_silent_where_everything_is_set_to_debug(
    sqs: SQSClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The library botocore would write each request and answer, whole."""
    levels = {name: logging.getLogger(name).level for name in safeguards.WORDY}
    caplog.set_level(logging.DEBUG)
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.DEBUG)
        url = sqs.create_queue(QueueName="wordy")["QueueUrl"]
        assert "CreateQueue" in caplog.text
        safeguards.install()
        sqs.send_message(QueueUrl=url, MessageBody=CANARY)
        answer = sqs.receive_message(QueueUrl=url)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert [each["Body"] for each in answer["Messages"]] == [CANARY]
    assert CANARY not in caplog.text


def test_installing_twice_changes_nothing() -> None:
    safeguards.install()
    first = (
        logging.getLogRecordFactory(), sys.excepthook, threading.excepthook,
        sys.unraisablehook, warnings.formatwarning,
    )  # fmt: skip
    safeguards.install()
    assert first == (
        logging.getLogRecordFactory(), sys.excepthook, threading.excepthook,
        sys.unraisablehook, warnings.formatwarning,
    )  # fmt: skip


DYING: Final = """
import os, resource, sys, threading, warnings
soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
from pipeline import safeguards
if "guarded" in sys.argv:
    safeguards.install()
canary = "canary-7f3a91"
def fail():
    raise ValueError(canary)
class Raises:
    __del__ = lambda self: fail()
Raises()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
warnings.warn("ann@example.org")
print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)
if "abort" in sys.argv:
    os.abort()
fail()
"""


def die(folder: Path, *how: str) -> subprocess.CompletedProcess[str]:
    """A process that ends badly."""
    return subprocess.run(
        [sys.executable, "-c", DYING, *how],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_an_uncaught_exception_prints_holds_no_value(tmp_path: Path) -> None:
    assert "canary-7f3a91" in die(tmp_path).stderr
    ended = die(tmp_path, "guarded")
    assert ended.returncode == 1
    assert "canary-7f3a91" not in ended.stderr
    assert PERSONAL not in ended.stderr
    assert ended.stderr.count("ValueError (its text is withheld)") == 3
    assert "  at <string>:10, in fail" in ended.stderr


def test_a_process_that_aborts_leaves_no_core_dump(tmp_path: Path) -> None:
    ended = die(tmp_path, "guarded", "abort")
    assert ended.returncode < 0
    assert ended.stdout.split() == ["0", "0"]
    assert list(tmp_path.iterdir()) == []


@dg.op
def chatty(context: dg.OpExecutionContext) -> None:
    """Logs in every way that an op has, and fails."""
    context.log.info("context.log %s", PERSONAL)
    logging.getLogger("pipeline.somewhere").warning("managed %s", ADDRESS)
    logging.getLogger("elsewhere").error("unmanaged %s", ADDRESS)
    try:
        int(CANARY)
    except ValueError:
        context.log.exception("context.log.exception")
    with values_kept_out(stage="mask"):
        raise KeyringError("the key is gone", remedy="Look for it")


@dg.job
def chatty_job() -> None:
    """One op that fails."""
    chatty()


def test_dagsters_event_log_is_complete_and_clean(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    safeguards.install()
    overrides = {
        "telemetry": {"enabled": False},
        "python_logs": {"managed_python_loggers": ["pipeline"], "python_log_level": "INFO"},
    }
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        run = chatty_job.execute_in_process(instance=instance, raise_on_error=False)
        entries = instance.all_logs(run.run_id)
    texts = [entry.user_message for entry in entries]
    assert "context.log [email]" in texts
    assert "managed [address]" in texts
    kinds = {entry.dagster_event_type for entry in entries if entry.is_dagster_event}
    assert {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE} <= kinds
    (failure,) = (
        entry for entry in entries if entry.dagster_event_type is dg.DagsterEventType.STEP_FAILURE
    )
    assert "E_KEYRING: the key is gone" in str(failure)
    everything = f"{entries}{capfd.readouterr()}"
    for value in (PERSONAL, ADDRESS, CANARY):
        assert value not in everything
    assert not any(
        value.encode() in path.read_bytes()
        for path in tmp_path.rglob("*.db")
        for value in (PERSONAL, ADDRESS, CANARY)
    )
