"""What a client of SQS may rely on for batches: what refuses one, and what fails only a part."""

from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, code_of

CASES = Cases()

_REFUSALS = [
    f"AWS.SimpleQueueService.{code}"
    for code in (
        "EmptyBatchRequest",
        "TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct",
        "InvalidBatchEntryId",
        "InvalidBatchEntryId",
    )
]


def _entries(*sizes: tuple[str, int]) -> list[SendMessageBatchRequestEntryTypeDef]:
    return [{"Id": name, "MessageBody": "x" * size} for name, size in sizes]


_NOT_ITS_FAULT = "never blames the sender: SenderFault is false"
_WRONG_IDS: tuple[list[str], ...] = (
    [],
    [str(number) for number in range(11)],
    ["a", "a"],
    ["a/b"],
    ["a" * 81],
)


@CASES.add(source="API reference, SendMessageBatch", sqs=_REFUSALS)
def a_batch_is_one_to_ten_entries_with_ids_of_their_own(account: Account) -> object:
    url = account.create()

    def send(ids: list[str]) -> str:
        entries = _entries(*((name, 1) for name in ids))
        return code_of(lambda: account.sqs.send_message_batch(QueueUrl=url, Entries=entries))

    return [send(ids) for ids in _WRONG_IDS]


@CASES.add(
    source="API reference, DeleteMessageBatch",
    sqs=_REFUSALS,
    moto=Differs(
        [_REFUSALS[0], _REFUSALS[2], _REFUSALS[2], "accepted", "accepted"],
        "counts and checks no ids; eleven are refused for the receipts that repeat",
    ),
)
def a_batch_of_deletes_is_one_to_ten_entries_too(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)

    def delete(ids: list[str]) -> str:
        return code_of(
            lambda: account.sqs.delete_message_batch(
                QueueUrl=url, Entries=[{"Id": name, "ReceiptHandle": receipt} for name in ids]
            )
        )

    return [delete(ids) for ids in _WRONG_IDS]


@CASES.add(
    source="API reference, ChangeMessageVisibilityBatch",
    sqs=_REFUSALS,
    moto=Differs(["accepted"] * 5, "checks nothing"),
)
def a_batch_of_visibilities_is_one_to_ten_entries_too(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)

    def change(ids: list[str]) -> str:
        return code_of(
            lambda: account.sqs.change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": name, "ReceiptHandle": receipt, "VisibilityTimeout": 9} for name in ids
                ],
            )
        )

    return [change(ids) for ids in _WRONG_IDS]


@CASES.add(
    source="API reference, SendMessageBatch",
    sqs=["accepted", "AWS.SimpleQueueService.BatchRequestTooLong"],
)
def a_batch_is_a_mebibyte_at_most(account: Account) -> object:
    url = account.create()

    def send(size: int) -> str:
        entries = _entries(("a", 524_288), ("b", size))
        return code_of(lambda: account.sqs.send_message_batch(QueueUrl=url, Entries=entries))

    return [send(524_288), send(524_289)]


@CASES.add(
    source="API reference, SendMessageBatch",
    sqs=[["good"], [("bad", True, "InvalidMessageContents")], ["a"]],
    moto=Differs([["bad", "good"], [], ["\x01", "a"]], "takes forbidden characters"),
    localstack=Differs(
        [["good"], [("bad", False, "InvalidMessageContents")], ["a"]], _NOT_ITS_FAULT
    ),
)
def a_bad_entry_of_a_batch_fails_alone(account: Account) -> object:
    url = account.create()
    answer = account.sqs.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": "bad", "MessageBody": "\x01"}, {"Id": "good", "MessageBody": "a"}],
    )
    failed = [(part["Id"], part["SenderFault"], part["Code"]) for part in answer.get("Failed", [])]
    return [
        [part["Id"] for part in answer["Successful"]],
        failed,
        [message["Body"] for message in account.take(url, 2)],
    ]


@CASES.add(
    source="API reference, SendMessageBatch",
    sqs=[["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"], True],
)
def every_entry_is_answered_with_a_message_id_and_a_digest(account: Account) -> object:
    url = account.create()
    answer = account.sqs.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": "0", "MessageBody": "a"}, {"Id": "1", "MessageBody": "b"}],
    )
    parts = sorted(answer["Successful"], key=lambda part: part["Id"])
    received = {message["MessageId"] for message in account.take(url, 2)}
    return [
        [part["MD5OfMessageBody"] for part in parts],
        received == {part["MessageId"] for part in parts},
    ]


@CASES.add(
    source="API reference, DeleteMessageBatch",
    sqs=[["a"], [("b", True, "ReceiptHandleIsInvalid")]],
    localstack=Differs([["a"], [("b", False, "ReceiptHandleIsInvalid")]], _NOT_ITS_FAULT),
)
def a_receipt_that_was_never_given_fails_alone_in_a_batch_of_deletes(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    answer = account.sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "ReceiptHandle": receipt},
            {"Id": "b", "ReceiptHandle": "nonsense"},
        ],
    )
    failed = [(part["Id"], part["SenderFault"], part["Code"]) for part in answer.get("Failed", [])]
    return [[part["Id"] for part in answer["Successful"]], failed]


@CASES.add(
    source="API reference, ChangeMessageVisibilityBatch",
    sqs=[["a"], [("b", True, "ReceiptHandleIsInvalid")], ["a"]],
    localstack=Differs([["a"], [("b", False, "ReceiptHandleIsInvalid")], ["a"]], _NOT_ITS_FAULT),
)
def a_receipt_that_was_never_given_fails_alone_in_a_batch_of_visibilities(
    account: Account,
) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    answer = account.sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 0},
            {"Id": "b", "ReceiptHandle": "nonsense", "VisibilityTimeout": 0},
        ],
    )
    failed = [(part["Id"], part["SenderFault"], part["Code"]) for part in answer.get("Failed", [])]
    return [
        [part["Id"] for part in answer["Successful"]],
        failed,
        [message["Body"] for message in account.receive(url)],
    ]
