"""What a client of SQS may rely on for receipts: visibility, redelivery, and what is stale."""

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, Need, code_of

CASES = Cases()

_NOT_IN_FLIGHT = "AWS.SimpleQueueService.MessageNotInflight"
_UNSAID = "none: SQS does not say, and this is the reading on which no consumer may rely"


def _delete(account: Account, url: str, receipt: str) -> str:
    return code_of(lambda: account.sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt))


def _change(account: Account, url: str, receipt: str, seconds: int = 60) -> str:
    return code_of(
        lambda: account.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=seconds
        )
    )


@CASES.add(
    source="Developer guide, Amazon SQS visibility timeout", sqs=[True, True, True, ["1", "2"]]
)
def a_message_comes_again_when_its_visibility_has_run_out(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="1")
    account.send(url, "a")
    asked = ["ApproximateReceiveCount"]
    (first,) = account.receive(url, MessageSystemAttributeNames=asked)
    hidden = not account.sqs.receive_message(QueueUrl=url).get("Messages")
    (again,) = account.receive(url, after=1, MessageSystemAttributeNames=asked)
    return [
        hidden,
        again["MessageId"] == first["MessageId"],
        again["ReceiptHandle"] != first["ReceiptHandle"],
        [each["Attributes"]["ApproximateReceiveCount"] for each in (first, again)],
    ]


@CASES.add(source="API reference, ReceiveMessage", sqs=["1", "2", "3", True])
def every_delivery_counts_and_the_first_keeps_its_time(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="0")
    account.send(url, "a")
    facts = [
        account.receive(url, MessageSystemAttributeNames=["All"])[0]["Attributes"] for _ in range(3)
    ]
    return [
        *(each["ApproximateReceiveCount"] for each in facts),
        len({each["ApproximateFirstReceiveTimestamp"] for each in facts}) == 1,
    ]


@CASES.add(source="API reference, ChangeMessageVisibility", sqs=["accepted", True])
def a_heartbeat_keeps_a_message_hidden(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="1")
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    return [_change(account, url, receipt), account.silent(url, seconds=2)]


@CASES.add(source="API reference, ChangeMessageVisibility", sqs=["accepted", ["2"]])
def a_visibility_of_zero_gives_a_message_back_and_counts_nothing(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    changed = _change(account, url, receipt, 0)
    again = account.receive(url, MessageSystemAttributeNames=["ApproximateReceiveCount"])
    return [changed, [each["Attributes"]["ApproximateReceiveCount"] for each in again]]


@CASES.add(
    source="API reference, ChangeMessageVisibility",
    sqs=["accepted", *["InvalidParameterValue"] * 2],
    moto=Differs(["accepted", "InvalidParameterValue", "accepted"], "takes a negative one"),
    localstack=Differs(["accepted"] * 3, "takes any"),
)
def a_visibility_is_twelve_hours_at_most(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    return [_change(account, url, receipt, seconds) for seconds in (43_000, 43_201, -1)]


@CASES.add(
    Need.CLOCK,
    source="Developer guide, Amazon SQS visibility timeout",
    sqs=["InvalidParameterValue", "accepted"],
)
def the_twelve_hours_count_from_the_receive(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="600")
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    account.let_pass(61)
    return [_change(account, url, receipt, seconds) for seconds in (43_200, 43_100)]


_DELETES = "deletes with any receipt that the message ever had"


@CASES.add(
    source="API reference, DeleteMessage",
    sqs=["accepted", ["a"]],
    moto=Differs(["accepted", []], _DELETES),
    localstack=Differs(["accepted", []], _DELETES),
)
def an_older_receipt_deletes_nothing_and_says_nothing(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="0")
    account.send(url, "a")
    (old,) = account.receipts(url)
    account.receipts(url)
    deleted = _delete(account, url, old)
    return [deleted, [message["Body"] for message in account.receive(url)]]


@CASES.add(
    source="API reference, DeleteMessage and DeleteMessageBatch",
    sqs=[["a"], [], ["a"]],
    moto=Differs([["a"], [], []], _DELETES),
    localstack=Differs([["a"], [], []], _DELETES),
)
def an_older_receipt_in_a_batch_deletes_nothing_either(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="0")
    account.send(url, "a")
    (old,) = account.receipts(url)
    account.receipts(url)
    answer = account.sqs.delete_message_batch(
        QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": old}]
    )
    return [
        [part["Id"] for part in answer.get("Successful", [])],
        [part["Code"] for part in answer.get("Failed", [])],
        [message["Body"] for message in account.receive(url)],
    ]


_CHANGES = "gives the message back, whoever holds it by now"


@CASES.add(
    source=_UNSAID,
    sqs=["refused", True],
    moto=Differs(["accepted", False], _CHANGES),
    localstack=Differs(["accepted", False], _CHANGES),
)
def an_older_receipt_changes_nothing_for_its_present_holder(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (old,) = account.receipts(url, VisibilityTimeout=0)
    account.receipts(url)
    code = _change(account, url, old, 0)
    return ["accepted" if code == "accepted" else "refused", account.silent(url)]


@CASES.add(
    source=_UNSAID,
    sqs=[["a"], True],
    moto=Differs([[], False], _CHANGES),
    localstack=Differs([[], False], _CHANGES),
)
def an_older_receipt_in_a_batch_changes_nothing_either(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (old,) = account.receipts(url, VisibilityTimeout=0)
    account.receipts(url)
    answer = account.sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": old, "VisibilityTimeout": 0}]
    )
    return [[part["Id"] for part in answer.get("Failed", [])], account.silent(url)]


@CASES.add(source="API reference, DeleteMessage", sqs=["accepted", "accepted", True])
def the_latest_receipt_deletes_and_may_do_so_twice(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    account.receipts(url, VisibilityTimeout=0)
    (latest,) = account.receipts(url, VisibilityTimeout=0)
    return [_delete(account, url, latest), _delete(account, url, latest), account.silent(url)]


@CASES.add(
    source="API reference, DeleteMessage and ChangeMessageVisibility",
    sqs=["ReceiptHandleIsInvalid"] * 2,
)
def a_receipt_that_was_never_given_is_refused(account: Account) -> object:
    url = account.create()
    return [_delete(account, url, "nonsense"), _change(account, url, "nonsense")]


@CASES.add(source="API reference, DeleteMessage", sqs=["ReceiptHandleIsInvalid", ["a"]])
def a_receipt_of_another_queue_is_refused(account: Account) -> object:
    url, other = account.create(), account.create("other")
    account.send(url, "a")
    (receipt,) = account.receipts(url, VisibilityTimeout=0)
    return [
        _delete(account, other, receipt),
        [message["Body"] for message in account.receive(url)],
    ]


@CASES.add(
    source="API reference, ChangeMessageVisibility",
    sqs=[_NOT_IN_FLIGHT, ["a"]],
    moto=Differs(["accepted", []], "hides it again"),
    localstack=Differs(["accepted", ["a"]], "says that it did, and does nothing"),
)
def a_message_that_is_visible_again_cannot_be_extended(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url, VisibilityTimeout=0)
    changed = _change(account, url, receipt)
    return [changed, [message["Body"] for message in account.receive(url)]]


@CASES.add(
    source="API reference, ChangeMessageVisibilityBatch",
    sqs=[[], [("a", True, _NOT_IN_FLIGHT)], ["a"]],
    moto=Differs([["a"], [], []], "hides it again"),
    localstack=Differs([["a"], [], ["a"]], "says that it did, and does nothing"),
)
def a_visible_message_in_a_batch_cannot_be_extended_either(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url, VisibilityTimeout=0)
    answer = account.sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 60}]
    )
    failed = [(part["Id"], part["SenderFault"], part["Code"]) for part in answer.get("Failed", [])]
    return [
        [part["Id"] for part in answer.get("Successful", [])],
        failed,
        [message["Body"] for message in account.receive(url)],
    ]


@CASES.add(
    source="API reference, ChangeMessageVisibility",
    sqs="InvalidParameterValue",
    moto=Differs("ReceiptHandleIsInvalid", "refuses it with another code"),
)
def a_deleted_message_cannot_be_extended(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (receipt,) = account.receipts(url)
    _delete(account, url, receipt)
    return _change(account, url, receipt)
