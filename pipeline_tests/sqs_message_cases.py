"""What a client of SQS may rely on for messages, receipts and batches."""

from mypy_boto3_sqs import SQSClient
from mypy_boto3_sqs.type_defs import MessageTypeDef, SendMessageBatchRequestEntryTypeDef

from pipeline_tests.sqs_case import Cases, code_of, depths, new_queue, receipts

CASES = Cases()


@CASES.add(sqs=["1", True, True])
def a_message_reports_its_count_and_times_and_no_more_than_asked(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    answer = sqs.receive_message(
        QueueUrl=url, MessageSystemAttributeNames=["All"], VisibilityTimeout=0
    )
    facts = answer["Messages"][0]["Attributes"]
    plain = sqs.receive_message(QueueUrl=url)["Messages"][0]
    return [
        facts["ApproximateReceiveCount"],
        int(facts["SentTimestamp"]) <= int(facts["ApproximateFirstReceiveTimestamp"]),
        set(plain) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"},
    ]


@CASES.add(
    sqs=[
        {"n": "5", "s": "\u00e9"},
        {"b": b"\x00\xff"},
        {"p.x", "p.y"},
        "d9a4468558b8dda7635b1c3ddb84606c",
        True,
        True,
    ]
)
def message_attributes_travel_and_are_selected_by_name_or_prefix(sqs: SQSClient) -> object:
    url = new_queue(sqs, VisibilityTimeout="0")
    sent = sqs.send_message(
        QueueUrl=url,
        MessageBody="a",
        MessageAttributes={
            "n": {"DataType": "Number", "StringValue": "5"},
            "s": {"DataType": "String.custom", "StringValue": "\u00e9"},
            "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            "p.x": {"DataType": "String", "StringValue": "x"},
            "p.y": {"DataType": "String", "StringValue": "y"},
        },
    )

    def receive(*names: str) -> MessageTypeDef:
        answer = sqs.receive_message(QueueUrl=url, MessageAttributeNames=names)
        return answer["Messages"][0]

    texts = receive("n", "s", "unheard")["MessageAttributes"]
    binaries = receive("b")["MessageAttributes"]

    everything = receive("All")
    return [
        {name: attribute["StringValue"] for name, attribute in texts.items()},
        {name: attribute["BinaryValue"] for name, attribute in binaries.items()},
        set(receive("p.*")["MessageAttributes"]),
        sent["MD5OfMessageAttributes"],
        everything["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"],
        sent["MD5OfMessageBody"] == everything["MD5OfBody"] == "0cc175b9c0f1b6a831c399e269772661",
    ]


@CASES.add(
    sqs=["accepted", "InvalidParameterValue", "InvalidMessageContents", "MissingParameter"],
    moto=["accepted", "InvalidParameterValue", "accepted", "accepted"],
)
def bodies_have_limits(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    bodies = ("x" * 1_048_576, "x" * 1_048_577, "\x01", "")

    def send(body: str) -> str:
        return code_of(lambda: sqs.send_message(QueueUrl=url, MessageBody=body))

    return [send(body) for body in bodies]


@CASES.add(
    sqs=[
        "AWS.SimpleQueueService.EmptyBatchRequest",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "AWS.SimpleQueueService.InvalidBatchEntryId",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "accepted",
    ]
)
def batches_have_limits(sqs: SQSClient) -> object:
    url = new_queue(sqs)

    def send(*entries: tuple[str, int]) -> str:
        batch: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": name, "MessageBody": "x" * size} for name, size in entries
        ]
        return code_of(lambda: sqs.send_message_batch(QueueUrl=url, Entries=batch))

    return [
        send(),
        send(*((str(number), 1) for number in range(11))),
        send(("a", 1), ("a", 1)),
        send(("not/allowed", 1)),
        send(("a", 524_288), ("b", 524_289)),
        send(("a", 524_288), ("b", 524_288)),
    ]


@CASES.add(
    sqs=[["good"], [("bad", True, "InvalidMessageContents")], 1],
    moto=[["bad", "good"], [], 2],
)
def one_bad_entry_of_a_batch_fails_alone(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    answer = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": "bad", "MessageBody": "\x01"}, {"Id": "good", "MessageBody": "a"}],
    )
    failed = [(part["Id"], part["SenderFault"], part["Code"]) for part in answer.get("Failed", [])]
    return [[part["Id"] for part in answer["Successful"]], failed, depths(sqs, url)[0]]


@CASES.add(sqs=["InvalidParameterValue"] * 5)
def numbers_outside_their_range_are_refused(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    return [
        code_of(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=11)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=0)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=21)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, VisibilityTimeout=43_201)),
        code_of(lambda: sqs.send_message(QueueUrl=url, MessageBody="a", DelaySeconds=901)),
    ]


@CASES.add(sqs=[[3, 0, 1], [1, 2, 1], [1, 1, 1]])
def depths_tell_ready_in_flight_and_delayed(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="a")
    sqs.send_message(QueueUrl=url, MessageBody="a", DelaySeconds=60)
    seen = [depths(sqs, url)]
    taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2)["Messages"]
    seen.append(depths(sqs, url))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
    return [*seen, depths(sqs, url)]


@CASES.add(sqs=[1, 0, 1])
def a_long_poll_wakes_when_a_message_becomes_visible(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    return [
        len(receipts(sqs, url, VisibilityTimeout=1)),
        len(receipts(sqs, url)),
        len(receipts(sqs, url, WaitTimeSeconds=5)),
    ]


@CASES.add(
    sqs=["accepted", [0, 1, 0], "accepted", "accepted", [0, 0, 0]],
    moto=["accepted", [0, 0, 0], "accepted", "accepted", [0, 0, 0]],
)
def only_the_latest_receipt_deletes_and_it_may_do_so_twice(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    (old,) = receipts(sqs, url, VisibilityTimeout=0)
    (new,) = receipts(sqs, url)

    def delete(receipt: str) -> str:
        return code_of(lambda: sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt))

    return [delete(old), depths(sqs, url), delete(new), delete(new), depths(sqs, url)]


def change(sqs: SQSClient, url: str, receipt: str) -> str:
    return code_of(
        lambda: sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=60
        )
    )


@CASES.add(sqs=["ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid"])
def a_receipt_that_was_never_given_is_refused(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    return [
        code_of(lambda: sqs.delete_message(QueueUrl=url, ReceiptHandle="nonsense")),
        change(sqs, url, "nonsense"),
    ]


@CASES.add(
    sqs=["AWS.SimpleQueueService.MessageNotInflight", [1, 0, 0]],
    moto=["accepted", [0, 1, 0]],
)
def a_message_that_is_visible_again_cannot_be_extended(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    (receipt,) = receipts(sqs, url, VisibilityTimeout=0)
    return [change(sqs, url, receipt), depths(sqs, url)]


@CASES.add(sqs=["InvalidParameterValue"], moto=["ReceiptHandleIsInvalid"])
def a_deleted_message_cannot_be_extended(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    (receipt,) = receipts(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
    return [change(sqs, url, receipt)]


@CASES.add(sqs=[["a"], [("b", True, "ReceiptHandleIsInvalid")], ["a"], ["b"], [1, 0, 0]])
def batches_of_receipts_fail_in_parts(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="a")
    first, second = receipts(sqs, url)
    deleted = sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "ReceiptHandle": first},
            {"Id": "b", "ReceiptHandle": "nonsense"},
        ],
    )
    changed = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "ReceiptHandle": second, "VisibilityTimeout": 0},
            {"Id": "b", "ReceiptHandle": "nonsense", "VisibilityTimeout": 0},
        ],
    )
    failed = deleted.get("Failed", [])
    return [
        [part["Id"] for part in deleted["Successful"]],
        [(part["Id"], part["SenderFault"], part["Code"]) for part in failed],
        [part["Id"] for part in changed["Successful"]],
        [part["Id"] for part in changed.get("Failed", [])],
        depths(sqs, url),
    ]
