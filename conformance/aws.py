"""The suite against SQS itself: only when asked for, with the environment's credentials."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from mypy_boto3_sqs import SQSClient

from conformance.accounts import accounts
from conformance.report import Report, run
from pipeline.errors import SettingsError
from pipeline.resources.sqs_client import Endpoint, make_client, translated
from pipeline_tests.sqs_case import Case

CONSENT: Final = "PIPELINE_CONFORMANCE_AWS"
"""The variable that has to be 1, so that nobody makes queues on AWS by accident."""

_PATIENCE: Final = 2
"""Seconds: a long poll asks all hosts of SQS, which a short one does not."""

_SETTLING_SECONDS: Final = 1.0
"""After a queue is made and before it is used, as CreateQueue's page asks."""

_READ_SECONDS: Final = 30.0
"""More than the longest poll of the suite."""


def client(environment: Mapping[str, str]) -> SQSClient:
    """A client for the environment's account, if it says that it may be used.

    Raises:
        SettingsError: It does not say so; or region, profile or credentials are missing.
    """
    if environment.get(CONSENT) != "1":
        raise SettingsError(
            "This makes and deletes some hundred queues on the AWS account of the environment",
            remedy=f"Set {CONSENT}=1 if that is what you want",
        )
    region = environment.get("AWS_REGION") or None
    return make_client(Endpoint(region=region), read_seconds=_READ_SECONDS)


def run_on_aws(
    sqs: SQSClient,
    cases: Mapping[str, Case],
    prefix: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Run what can be run there; every queue begins with `prefix` and is deleted in the end.

    Args:
        sqs: A client for the account.
        cases: What to run, apart from what needs a clock or prompt answers.
        prefix: The beginning of all names; never used before.
        sleep: Lets so many seconds pass.

    Raises:
        QueueError: The account cannot be reached, or used.
    """
    with translated():
        # One call that tells what is wrong with the settings, before every case would.
        sqs.list_queues(QueueNamePrefix=prefix)
    open_account = accounts(
        sqs, prefix, sleep=sleep, patience=_PATIENCE, settling=_SETTLING_SECONDS
    )
    return run("aws", cases, open_account, has=frozenset())
