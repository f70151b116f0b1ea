"""What a client of SQS may rely on for messages: bodies, attributes, digests, times, delays."""

from concurrent.futures import ThreadPoolExecutor

from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, Need, code_of

CASES = Cases()


@CASES.add(source="API reference, ReceiveMessage and Message", sqs=["1", True, True])
def a_message_reports_its_count_and_times_and_no_more_than_asked(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (told,) = account.receive(url, MessageSystemAttributeNames=["All"], VisibilityTimeout=0)
    (plain,) = account.receive(url)
    facts = told["Attributes"]
    return [
        facts["ApproximateReceiveCount"],
        int(facts["SentTimestamp"]) <= int(facts["ApproximateFirstReceiveTimestamp"]),
        set(plain) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"},
    ]


_ANY_NAME = Differs([["SentTimestamp"], "accepted"], "passes over names that do not exist")


@CASES.add(
    source="API reference, ReceiveMessage",
    sqs=[["SentTimestamp"], "InvalidAttributeName"],
    moto=_ANY_NAME,
    localstack=_ANY_NAME,
)
def system_attributes_are_asked_for_by_name(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    (message,) = account.receive(url, MessageSystemAttributeNames=["SentTimestamp"])
    return [
        list(message["Attributes"]),
        code_of(lambda: account.receive(url, MessageSystemAttributeNames=["Unheard"])),
    ]


@CASES.add(
    source="Developer guide, Amazon SQS message metadata",
    sqs=[
        {"n": "5", "s": "\u00e9"},
        {"b": b"\x00\xff"},
        {"p.x", "p.y"},
        "d9a4468558b8dda7635b1c3ddb84606c",
        True,
        True,
    ],
)
def message_attributes_travel_with_their_digest_and_are_selected_by_name_or_prefix(
    account: Account,
) -> object:
    url = account.create("q", VisibilityTimeout="0")
    sent = account.sqs.send_message(
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
        return account.receive(url, MessageAttributeNames=names)[0]

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


_TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@CASES.add(
    source="API reference, SendMessage",
    sqs=["5ae4d5d7636402d80f4eb6d213245a88", _TRACE, "a"],
    moto=Differs("stopped by KeyError", "returns no digest of it"),
)
def a_trace_header_travels_with_a_digest_of_its_own(account: Account) -> object:
    url = account.create()
    sent = account.sqs.send_message(
        QueueUrl=url,
        MessageBody="a",
        MessageSystemAttributes={
            "AWSTraceHeader": {"DataType": "String", "StringValue": _TRACE},
        },
    )
    (message,) = account.receive(url, MessageSystemAttributeNames=["AWSTraceHeader"])
    facts = message["Attributes"]
    return [sent["MD5OfMessageSystemAttributes"], facts["AWSTraceHeader"], message["Body"]]


@CASES.add(
    source="Developer guide, Amazon SQS message metadata",
    sqs=["accepted", *["InvalidParameterValue"] * 5],
    moto=Differs(
        ["accepted"] * 3 + ["InvalidParameterValue"] + ["accepted"] * 2,
        "checks the type only: not their number, names or values",
    ),
    localstack=Differs(
        ["accepted"] * 2 + ["InvalidParameterValue"] * 3 + ["accepted"],
        "takes more than ten, and a Number that is none",
    ),
)
def message_attributes_have_limits(account: Account) -> object:
    url = account.create()
    text: MessageAttributeValueTypeDef = {"DataType": "String", "StringValue": "x"}

    def send(attributes: dict[str, MessageAttributeValueTypeDef]) -> str:
        return code_of(
            lambda: account.sqs.send_message(
                QueueUrl=url, MessageBody="a", MessageAttributes=attributes
            )
        )

    return [
        send({f"a{number}": text for number in range(10)}),
        send({f"a{number}": text for number in range(11)}),
        send({"AWS.a": text}),
        send({"a": {"DataType": "Text", "StringValue": "x"}}),
        send({"a": {"DataType": "String", "StringValue": ""}}),
        send({"a": {"DataType": "Number", "StringValue": "x"}}),
    ]


@CASES.add(
    source="API reference, SendMessage; Developer guide, Message quotas",
    sqs=["accepted", "InvalidParameterValue", "InvalidMessageContents", "MissingParameter"],
    moto=Differs(
        ["accepted", "InvalidParameterValue", "accepted", "accepted"],
        "takes empty bodies and forbidden characters",
    ),
)
def bodies_have_limits(account: Account) -> object:
    url = account.create()
    bodies = ("x" * 1_048_576, "x" * 1_048_577, "\x01", "")

    def send(body: str) -> str:
        return code_of(lambda: account.send(url, body))

    return [send(body) for body in bodies]


@CASES.add(
    source="Developer guide, Amazon SQS message metadata",
    sqs=["accepted", "InvalidParameterValue"],
    moto=Differs(["accepted", "accepted"], "does not count them"),
)
def attributes_count_towards_the_size_of_a_message(account: Account) -> object:
    url = account.create("q", MaximumMessageSize="1024")
    attributes: dict[str, MessageAttributeValueTypeDef] = {
        "a": {"DataType": "String", "StringValue": "x"}
    }

    def send(size: int) -> str:
        return code_of(
            lambda: account.sqs.send_message(
                QueueUrl=url, MessageBody="x" * size, MessageAttributes=attributes
            )
        )

    beside = len("a" + "String" + "x")
    return [send(1_024 - beside), send(1_025 - beside)]


@CASES.add(
    source="API reference, ReceiveMessage and SendMessage",
    sqs=["InvalidParameterValue"] * 6,
    localstack=Differs(
        ["InvalidParameterValue", "accepted"] + ["InvalidParameterValue"] * 2 + ["accepted"] * 2,
        "takes a count of 0, and any visibility and delay",
    ),
)
def numbers_outside_their_range_are_refused(account: Account) -> object:
    sqs, url = account.sqs, account.create()
    return [
        code_of(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=11)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=0)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=21)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=-1)),
        code_of(lambda: sqs.receive_message(QueueUrl=url, VisibilityTimeout=43_201)),
        code_of(lambda: sqs.send_message(QueueUrl=url, MessageBody="a", DelaySeconds=901)),
    ]


@CASES.add(
    Need.PROMPT, source="API reference, GetQueueAttributes", sqs=[[3, 0, 1], [1, 2, 1], [1, 1, 1]]
)
def depths_tell_ready_in_flight_and_delayed(account: Account) -> object:
    sqs, url = account.sqs, account.create()
    account.send(url, "a", "b", "c")
    sqs.send_message(QueueUrl=url, MessageBody="d", DelaySeconds=60)
    seen = [account.depths(url)]
    taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2)["Messages"]
    seen.append(account.depths(url))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
    return [*seen, account.depths(url)]


@CASES.add(source="Developer guide, Amazon SQS delay queues", sqs=[True, ["late"], ["now"]])
def a_delay_hides_a_new_message_and_a_message_may_have_its_own(account: Account) -> object:
    url, late = account.create(), account.create("late", DelaySeconds="60")
    account.sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=1)
    hidden = not account.sqs.receive_message(QueueUrl=url).get("Messages")
    account.sqs.send_message(QueueUrl=late, MessageBody="now", DelaySeconds=0)
    account.send(late, "later")
    return [
        hidden,
        [message["Body"] for message in account.receive(url, after=1)],
        [message["Body"] for message in account.receive(late)],
    ]


@CASES.add(source="Developer guide, Amazon SQS short and long polling", sqs=[1, ["a"]])
def a_long_poll_is_answered_when_a_message_becomes_visible(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    hidden = account.receipts(url, VisibilityTimeout=1)
    with ThreadPoolExecutor(1) as beside:
        polling = beside.submit(account.sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        account.let_pass(1)
        return [
            len(hidden),
            [message["Body"] for message in polling.result().get("Messages", [])],
        ]


@CASES.add(source="Developer guide, Amazon SQS short and long polling", sqs=["a"])
def a_long_poll_is_answered_by_a_send(account: Account) -> object:
    url = account.create()
    with ThreadPoolExecutor(1) as beside:
        polling = beside.submit(account.sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        account.send(url, "a")
        return [message["Body"] for message in polling.result().get("Messages", [])]
