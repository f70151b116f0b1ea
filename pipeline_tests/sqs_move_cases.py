"""What a client of SQS may rely on for message moves: from a dead-letter queue to another."""

from typing import Any

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, code_of
from pipeline_tests.sqs_dead_letter_cases import source_of

CASES = Cases()

_MISSING = Differs("stopped by NotImplementedError", "it has no message moves")


def _dead_letters(account: Account, *bodies: str) -> tuple[str, str]:
    """A queue and its dead-letter queue, where messages lie that it gave up."""
    dead = account.create("dead")
    url = source_of(account, dead)
    account.send(url, *bodies)
    account.take(url, len(bodies))
    # The second receive of each is what moves it, and AWS may answer with fewer than there are.
    for _ in bodies:
        account.silent(url)
    return url, dead


def _tasks(account: Account, dead: str) -> list[dict[str, Any]]:
    """The moves from a dead-letter queue, latest first, as soon as none is on its way."""
    arn = account.arn(dead)
    for _ in range(30):
        answer = account.sqs.list_message_move_tasks(SourceArn=arn, MaxResults=10)
        tasks: list[dict[str, Any]] = [dict(task) for task in answer.get("Results", [])]
        if all(task["Status"] not in {"RUNNING", "CANCELLING"} for task in tasks):
            break
        account.let_pass(1)
    return tasks


@CASES.add(
    source="API reference, StartMessageMoveTask",
    sqs=[["a"], True, "1", "COMPLETED", [1, 1]],
    moto=_MISSING,
    localstack=Differs(
        [["a"], False, "4", "COMPLETED", [1, 1]], "keeps their ids and receive counts"
    ),
)
def a_move_takes_messages_back_to_their_source_as_new_ones(account: Account) -> object:
    url, dead = _dead_letters(account, "a")
    (before,) = account.receive(dead, VisibilityTimeout=0)
    account.sqs.start_message_move_task(SourceArn=account.arn(dead))
    asked = ["ApproximateReceiveCount"]
    (moved,) = account.receive(url, after=1, MessageSystemAttributeNames=asked)
    (task,) = _tasks(account, dead)
    return [
        [moved["Body"]],
        moved["MessageId"] != before["MessageId"],
        moved["Attributes"]["ApproximateReceiveCount"],
        task["Status"],
        [task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]],
    ]


@CASES.add(
    source="API reference, StartMessageMoveTask",
    sqs=[["a"], "elsewhere", True],
    moto=_MISSING,
)
def a_move_may_lead_to_another_queue(account: Account) -> object:
    url, dead = _dead_letters(account, "a")
    elsewhere = account.create("elsewhere")
    target = account.arn(elsewhere)
    account.sqs.start_message_move_task(SourceArn=account.arn(dead), DestinationArn=target)
    moved = account.receive(elsewhere, after=1)
    (task,) = _tasks(account, dead)
    return [
        [message["Body"] for message in moved],
        account.short(task["DestinationArn"]),
        account.silent(url),
    ]


@CASES.add(
    source="Developer guide, Configuring a dead-letter queue redrive",
    sqs=[["a"], ["b"]],
    moto=_MISSING,
)
def a_move_takes_each_message_to_the_source_that_gave_it_up(account: Account) -> object:
    dead = account.create("dead")
    sources = [source_of(account, dead, name) for name in ("q1", "q2")]
    for url, body in zip(sources, "ab", strict=True):
        account.send(url, body)
        account.take(url, 1)
        account.silent(url)
    account.sqs.start_message_move_task(SourceArn=account.arn(dead))
    return [[message["Body"] for message in account.receive(url, after=1)] for url in sources]


@CASES.add(
    source="API reference, StartMessageMoveTask",
    sqs=["InvalidParameterValue", "ResourceNotFoundException", "ResourceNotFoundException"],
    moto=_MISSING,
)
def a_move_begins_at_a_dead_letter_queue_and_ends_at_a_queue_that_exists(
    account: Account,
) -> object:
    url, dead = _dead_letters(account)

    def start(source: str, **options: str) -> str:
        return code_of(
            lambda: account.sqs.start_message_move_task(SourceArn=source, **options)  # type: ignore[arg-type]
        )

    plain, target = account.arn(url), account.arn(dead)
    return [
        start(plain),
        start(target + "x"),
        start(target, DestinationArn=plain + "x"),
    ]


@CASES.add(
    source="API reference, StartMessageMoveTask",
    sqs=["InvalidParameterValue"] * 2,
    moto=_MISSING,
    localstack=Differs(["accepted"] * 2, "takes any rate"),
)
def a_move_takes_1_to_500_messages_a_second(account: Account) -> object:
    _, dead = _dead_letters(account)
    arn = account.arn(dead)

    def start(rate: int) -> str:
        return code_of(
            lambda: account.sqs.start_message_move_task(
                SourceArn=arn, MaxNumberOfMessagesPerSecond=rate
            )
        )

    return [start(0), start(501)]


@CASES.add(
    source="API reference, StartMessageMoveTask and CancelMessageMoveTask",
    sqs=["InvalidParameterValue", True, "CANCELLED", True],
    moto=_MISSING,
)
def one_move_at_a_time_leaves_a_queue_and_it_can_be_cancelled(account: Account) -> object:
    _, dead = _dead_letters(account, *"abcdefghij")
    arn = account.arn(dead)
    started = account.sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    second = code_of(lambda: account.sqs.start_message_move_task(SourceArn=arn))
    cancelled = account.sqs.cancel_message_move_task(TaskHandle=started["TaskHandle"])
    (task,) = _tasks(account, dead)
    return [
        second,
        cancelled["ApproximateNumberOfMessagesMoved"] < 10,
        task["Status"],
        task["ApproximateNumberOfMessagesMoved"] < 10,
    ]


@CASES.add(
    source="API reference, ListMessageMoveTasks",
    sqs=[["RUNNING", True, 1], ["CANCELLED", False]],
    moto=_MISSING,
)
def a_move_shows_its_handle_only_while_it_runs(account: Account) -> object:
    _, dead = _dead_letters(account, *"abcdefghij")
    arn = account.arn(dead)
    started = account.sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    (running,) = account.sqs.list_message_move_tasks(SourceArn=arn)["Results"]
    account.sqs.cancel_message_move_task(TaskHandle=started["TaskHandle"])
    (ended,) = _tasks(account, dead)
    return [
        [
            running["Status"],
            running.get("TaskHandle") == started["TaskHandle"],
            running["MaxNumberOfMessagesPerSecond"],
        ],
        [ended["Status"], "TaskHandle" in ended],
    ]


@CASES.add(
    source="API reference, CancelMessageMoveTask",
    sqs=["InvalidParameterValue", "refused"],
    moto=_MISSING,
    localstack=Differs(["InvalidParameterValue", "accepted"], "cancels a move that has ended"),
)
def only_a_move_that_runs_can_be_cancelled(account: Account) -> object:
    _, dead = _dead_letters(account)
    started = account.sqs.start_message_move_task(SourceArn=account.arn(dead))
    _tasks(account, dead)

    def cancel(handle: str) -> str:
        return code_of(lambda: account.sqs.cancel_message_move_task(TaskHandle=handle))

    ended = cancel(started["TaskHandle"])
    return [cancel("nonsense"), ended if ended == "accepted" else "refused"]
