"""Accounts for the cases of one run, where others use the same SQS: names that nobody else has."""

import itertools
import secrets
import time
from collections.abc import Callable

from mypy_boto3_sqs import SQSClient

from pipeline_tests.sqs_account import Account


def new_prefix() -> str:
    """What all queues of one run are called, and no other queue ever was."""
    return f"conformance-{secrets.token_hex(4)}-"


def accounts(
    sqs: SQSClient,
    prefix: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    patience: int = 0,
    settling: float = 0.0,
) -> Callable[[], Account]:
    """Opens an account for each case, with a prefix that continues the run's.

    Args:
        sqs: The client of all of them.
        prefix: The run's.
        sleep: As `Account` has it.
        patience: As `Account` has it.
        settling: As `Account` has it.
    """
    serials = itertools.count(1)

    def open_account() -> Account:
        return Account(
            sqs,
            prefix=f"{prefix}{next(serials)}-",
            sleep=sleep,
            patience=patience,
            settling=settling,
        )

    return open_account
