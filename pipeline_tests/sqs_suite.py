"""The whole conformance suite, by group."""

from typing import Final

from pipeline_tests import (
    sqs_batch_cases,
    sqs_dead_letter_cases,
    sqs_message_cases,
    sqs_move_cases,
    sqs_queue_cases,
    sqs_receipt_cases,
)
from pipeline_tests.sqs_case import Case, Cases

GROUPS: Final[dict[str, Cases]] = {
    "Queues": sqs_queue_cases.CASES,
    "Messages": sqs_message_cases.CASES,
    "Batches": sqs_batch_cases.CASES,
    "Receipts and visibility": sqs_receipt_cases.CASES,
    "Dead-letter queues": sqs_dead_letter_cases.CASES,
    "Message moves": sqs_move_cases.CASES,
}

CASES: Final[dict[str, Case]] = {
    name: case for cases in GROUPS.values() for name, case in cases.items()
}
