"""What a client of SQS may rely on for dead-letter queues: when a message goes there, and how."""

import json

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, Need, code_of

CASES = Cases()


def policy(arn: str, count: int) -> str:
    """A redrive policy, as the attribute has it."""
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": count})


def source_of(account: Account, dead: str, name: str = "q", *, count: int = 1) -> str:
    """Make a queue whose messages are visible at once and go to a dead-letter queue."""
    redrive = policy(account.arn(dead), count)
    return account.create(name, RedrivePolicy=redrive, VisibilityTimeout="0")


@CASES.add(
    source="Developer guide, Using dead-letter queues in Amazon SQS",
    sqs=[[1, 1, 0], ["a"], True, "q", "3"],
    moto=Differs([[1, 1, 0], ["a"], True, "", "3"], "does not tell the queue that gave it up"),
)
def a_message_received_too_often_moves_with_its_id_and_count(account: Account) -> object:
    dead = account.create("dead")
    url = source_of(account, dead, count=2)
    sent = account.sqs.send_message(QueueUrl=url, MessageBody="a")
    taken = [len(account.receive(url)) for _ in range(3)]
    (message,) = account.receive(dead, MessageSystemAttributeNames=["All"])
    facts = message["Attributes"]
    return [
        taken,
        [message["Body"]],
        message["MessageId"] == sent["MessageId"],
        account.short(facts.get("DeadLetterQueueSourceArn", "")),
        facts["ApproximateReceiveCount"],
    ]


@CASES.add(source="Developer guide, Using dead-letter queues in Amazon SQS", sqs=True)
def a_dead_letter_keeps_the_time_at_which_it_was_sent(account: Account) -> object:
    dead = account.create("dead")
    url = source_of(account, dead)
    account.send(url, "a")
    asked = ["SentTimestamp"]
    (here,) = account.receive(url, MessageSystemAttributeNames=asked)
    account.receive(url)
    (there,) = account.receive(dead, MessageSystemAttributeNames=asked)
    return there["Attributes"]["SentTimestamp"] == here["Attributes"]["SentTimestamp"]


@CASES.add(
    Need.CLOCK, source="Developer guide, Using dead-letter queues in Amazon SQS", sqs=[1, True]
)
def a_dead_letter_lives_only_for_what_is_left_since_it_was_sent(account: Account) -> object:
    dead = account.create("dead", MessageRetentionPeriod="100")
    url = source_of(account, dead)
    account.send(url, "a")
    account.let_pass(61)
    account.receive(url)
    account.receive(url)
    arrived = len(account.receive(dead, VisibilityTimeout=0))
    account.let_pass(61)
    return [arrived, account.silent(dead)]


@CASES.add(
    source="API reference, CreateQueue",
    sqs=["InvalidParameterValue"] * 4,
    moto=Differs(
        ["AWS.SimpleQueueService.NonExistentQueue"] + ["accepted"] * 3,
        "looks at the queue only, and refuses it with another code",
    ),
    localstack=Differs(["accepted"] * 4, "takes any when a queue is created"),
)
def a_redrive_policy_needs_a_queue_that_exists_and_a_count_of_1_to_1000(account: Account) -> object:
    arn = account.arn(account.create())

    wrong = (policy(arn + "x", 2), policy(arn, 0), policy(arn, 1_001), "{}")

    def create(name: str, redrive: str) -> str:
        return code_of(lambda: account.create(name, RedrivePolicy=redrive))

    return [create(f"source{number}", redrive) for number, redrive in enumerate(wrong)]


@CASES.add(
    Need.PROMPT, source="API reference, ListDeadLetterSourceQueues", sqs=[["q1", "q2"], ["q1"], []]
)
def the_sources_of_a_dead_letter_queue_are_listed(account: Account) -> object:
    dead = account.create("dead")
    first, second = source_of(account, dead, "q1"), source_of(account, dead, "q2")

    def listed() -> list[str]:
        answer = account.sqs.list_dead_letter_source_queues(QueueUrl=dead)
        return sorted(account.short(url) for url in answer["queueUrls"])

    seen = [listed()]
    for url in (second, first):
        account.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
        seen.append(listed())
    return seen


@CASES.add(Need.PROMPT, source="API reference, SetQueueAttributes", sqs=[1, 1, 1, True])
def without_its_policy_a_queue_keeps_its_messages(account: Account) -> object:
    dead = account.create("dead")
    url = source_of(account, dead)
    account.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    account.send(url, "a")
    return [*(len(account.receive(url)) for _ in range(3)), account.silent(dead)]


_IGNORED = "keeps the attribute and does not act on it"


@CASES.add(
    source="Developer guide, Configuring a dead-letter queue",
    sqs=[True, "refused"],
    moto=Differs("stopped by InvalidAttributeName", "does not know the attribute"),
    localstack=Differs([True, "accepted"], _IGNORED),
)
def a_dead_letter_queue_may_deny_all_sources(account: Account) -> object:
    deny = json.dumps({"redrivePermission": "denyAll"})
    dead = account.create("dead", RedriveAllowPolicy=deny)
    shown = account.attributes(dead, "RedriveAllowPolicy")["RedriveAllowPolicy"]
    code = code_of(lambda: source_of(account, dead))
    return [json.loads(shown) == json.loads(deny), code if code == "accepted" else "refused"]


@CASES.add(
    source="Developer guide, Configuring a dead-letter queue",
    sqs=["accepted", "refused"],
    moto=Differs(["accepted", "accepted"], "does not know the attribute"),
    localstack=Differs(["accepted", "accepted"], _IGNORED),
)
def a_dead_letter_queue_may_allow_only_the_sources_that_it_names(account: Account) -> object:
    stranger = account.arn(account.create("stranger"))
    welcome = stranger.removesuffix("stranger") + "welcome"
    allow = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [welcome]})
    dead = account.create("dead", RedriveAllowPolicy=allow)
    codes = [code_of(lambda name=name: source_of(account, dead, name)) for name in ("welcome", "q")]  # type: ignore[misc]
    return [code if code == "accepted" else "refused" for code in codes]
