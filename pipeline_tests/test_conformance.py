"""The conformance command: what it does to an account, what it reports, and its table."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from mypy_boto3_sqs import SQSClient

from conformance import aws
from conformance.accounts import accounts, new_prefix
from conformance.localstack import find_python
from conformance.report import Report, run
from conformance.table import DOCUMENT, with_table
from pipeline.errors import LocalServiceError, QueueUnreachable, SettingsError
from pipeline_tests.outside_world import refusing, unused_port
from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, Need
from pipeline_tests.sqs_suite import CASES, GROUPS

SOME = (
    "creating_again_is_harmless_with_equal_attributes_only",
    "a_deleted_name_is_not_free_at_once",
    "a_long_poll_is_answered_by_a_send",
    "attributes_have_defaults_and_can_be_set",
    "a_queue_may_be_purged_again_after_a_minute",
    "a_message_received_too_often_moves_with_its_id_and_count",
)
"""A few quick cases of every kind: with dead letters, with a name deleted, and two left out."""


@pytest.fixture
def on_aws(queue_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQSClient]:
    """The client that the command makes, on an account of which the embedded queue is the SQS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", queue_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = aws.client({aws.CONSENT: "1", "AWS_REGION": "us-east-1"})
    yield client
    client.close()


def left(sqs: SQSClient) -> list[str]:
    """The names of all queues."""
    urls = sqs.list_queues().get("QueueUrls", [])
    return [url.rpartition("/")[2] for url in urls]


def on_account(sqs: SQSClient, cases: Cases, prefix: str = "conformance-1-") -> Report:
    return aws.run_on_aws(sqs, cases, prefix, sleep=lambda _: None)


def one_case(sqs: object, **deviations: Differs) -> Cases:
    """A case that makes two queues and comes to 1."""
    cases = Cases()

    @cases.add(source="", sqs=sqs, **deviations)
    def a_case(account: Account) -> object:
        account.create("dead")
        account.create()
        return 1

    return cases


def test_nothing_is_done_on_aws_without_consent() -> None:
    with pytest.raises(SettingsError, match="PIPELINE_CONFORMANCE_AWS=1"):
        aws.client({"AWS_REGION": "us-east-1"})


def test_without_consent_the_command_says_so_and_fails() -> None:
    command = [sys.executable, "-m", "conformance", "aws"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Set PIPELINE_CONFORMANCE_AWS=1" in done.stderr


def test_without_python_3_13_localstack_is_one_clear_error() -> None:
    with pytest.raises(LocalServiceError, match=r"LocalStack wants Python 3\.13"):
        find_python("no-such-python")


def test_a_run_on_aws_leaves_out_by_name_what_needs_a_clock_or_prompt_answers(
    on_aws: SQSClient,
) -> None:
    cases = Cases({name: CASES[name] for name in SOME})
    report = on_account(on_aws, cases)
    assert report.sound
    assert len(report.conforming) == 4
    assert report.left_out == {
        "a_queue_may_be_purged_again_after_a_minute": {Need.CLOCK},
        "attributes_have_defaults_and_can_be_set": {Need.PROMPT},
    }


def test_a_run_on_aws_makes_queues_of_its_own_only_and_deletes_them_all(on_aws: SQSClient) -> None:
    on_aws.create_queue(QueueName="somebody-elses")
    on_account(on_aws, Cases({name: CASES[name] for name in SOME}))
    assert left(on_aws) == ["somebody-elses"]


def test_no_two_cases_and_no_two_runs_use_the_same_name(on_aws: SQSClient) -> None:
    opened = accounts(on_aws, new_prefix())
    names = [opened().name("q"), opened().name("q"), accounts(on_aws, new_prefix())().name("q")]
    assert len(set(names)) == 3


def test_the_queues_of_a_run_that_is_interrupted_are_deleted_too(on_aws: SQSClient) -> None:
    cases = one_case(1)

    @cases.add(source="", sqs=1)
    def interrupted(account: Account) -> object:
        account.create()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_account(on_aws, cases)
    assert left(on_aws) == []


def test_a_queue_that_cannot_be_deleted_is_named_and_the_others_are_deleted(
    on_aws: SQSClient,
) -> None:
    with refusing(on_aws, "DeleteQueue", "AccessDenied", status=403):
        report = on_account(on_aws, one_case(1))
    assert report.queues_left == left(on_aws) == ["conformance-1-1-dead"]
    assert not report.sound
    assert "QUEUE LEFT: conformance-1-1-dead" in report.lines()


def test_an_account_that_does_not_answer_is_one_error_and_not_one_for_each_case(
    monkeypatch: pytest.MonkeyPatch, on_aws: SQSClient
) -> None:
    del on_aws
    with unused_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{port}")
        nobody = aws.client({aws.CONSENT: "1", "AWS_REGION": "us-east-1"})
        with pytest.raises(QueueUnreachable):
            on_account(nobody, one_case(1))
        nobody.close()


@pytest.mark.parametrize(
    ("case", "result"),
    [
        (one_case(1), "same"),
        (one_case(2, localstack=Differs(1, "adds nothing")), "deviates"),
        (one_case(1, localstack=Differs(2, "is gone")), "differs"),
        (one_case(2), "differs"),
    ],
)
def test_a_deviation_that_is_new_or_gone_is_reported(
    sqs: SQSClient, case: Cases, result: str
) -> None:
    report = run("localstack", case, accounts(sqs, "c-"), has=frozenset())
    found = {
        "same": bool(report.conforming),
        "deviates": report.deviating == {"a_case": "adds nothing"},
        "differs": bool(report.different) and not report.sound,
    }
    assert [name for name, holds in found.items() if holds] == [result]


def test_what_stops_a_case_is_its_outcome(sqs: SQSClient) -> None:
    cases = Cases()

    @cases.add(source="", sqs="stopped by AWS.SimpleQueueService.NonExistentQueue")
    def a_case(account: Account) -> object:
        return account.sqs.get_queue_url(QueueName=account.name("nobody"))

    assert run("embedded", cases, accounts(sqs, "c-"), has=frozenset()).sound


def test_the_committed_table_is_the_one_that_the_cases_make() -> None:
    document = DOCUMENT.read_text()
    assert document == with_table(document, GROUPS)
