"""What a client of SQS may rely on for queues: names, addresses, attributes, tags, purges."""

import re
from typing import Any

from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Cases, Differs, Need, code_of

CASES = Cases()

_MISSING = "AWS.SimpleQueueService.NonExistentQueue"


@CASES.add(source="API reference, Common Errors", sqs=[_MISSING] * 4 + ["QueueDoesNotExist"])
def an_unknown_queue_has_both_the_old_and_the_new_name_for_its_absence(account: Account) -> object:
    sqs, url = account.sqs, account.create() + "x"
    codes = [
        code_of(lambda: sqs.get_queue_url(QueueName=account.name("qx"))),
        code_of(lambda: sqs.send_message(QueueUrl=url, MessageBody="a")),
        code_of(lambda: sqs.receive_message(QueueUrl=url)),
        code_of(lambda: sqs.purge_queue(QueueUrl=url)),
    ]
    try:
        sqs.get_queue_attributes(QueueUrl=url)
    except sqs.exceptions.QueueDoesNotExist:
        codes.append("QueueDoesNotExist")
    return codes


@CASES.add(source="Developer guide, Queue and message identifiers", sqs=[True, True, True])
def a_queue_has_a_url_and_a_resource_name_of_account_and_name(account: Account) -> object:
    url, whole = account.create(), account.name("q")
    by_url = re.search(rf"/(\d{{12}})/{whole}$", url)
    by_arn = re.fullmatch(rf"arn:aws:sqs:[a-z0-9-]+:(\d{{12}}):{whole}", account.arn(url))
    return [
        account.sqs.get_queue_url(QueueName=whole)["QueueUrl"] == url,
        by_url is not None,
        by_url is not None and by_arn is not None and by_url[1] == by_arn[1],
    ]


@CASES.add(source="API reference, CreateQueue", sqs=["InvalidParameterValue"] * 3)
def a_name_is_letters_digits_hyphens_and_underscores_up_to_80(account: Account) -> object:
    name = account.name("q")
    wrong = (f"{name}.", f"{name} ", name + "x" * 80)

    def create(name: str) -> str:
        return code_of(lambda: account.sqs.create_queue(QueueName=name))

    return [create(name) for name in wrong]


@CASES.add(
    source="API reference, CreateQueue", sqs=[True, "QueueAlreadyExists", "QueueAlreadyExists"]
)
def creating_again_is_harmless_with_equal_attributes_only(account: Account) -> object:
    url = account.create("q", VisibilityTimeout="7")
    return [
        account.create("q", VisibilityTimeout="7") == account.create("q") == url,
        code_of(lambda: account.create("q", VisibilityTimeout="8")),
        code_of(lambda: account.create("q", DelaySeconds="1")),
    ]


@CASES.add(Need.PROMPT, source="API reference, ListQueues", sqs=[["a-1", "a-2"], ["b-1"], True])
def queues_are_listed_by_prefix(account: Account) -> object:
    for name in ("a-1", "a-2", "b-1"):
        account.create(name)

    def listed(prefix: str) -> list[str]:
        answer = account.sqs.list_queues(QueueNamePrefix=account.name(prefix))
        return sorted(account.short(url) for url in answer["QueueUrls"])

    none = account.sqs.list_queues(QueueNamePrefix=account.name("c"))
    return [listed("a-"), listed("b-"), "QueueUrls" not in none]


@CASES.add(Need.PROMPT, source="API reference, ListQueues", sqs=[2, 2, 1])
def lists_come_in_pages_of_the_size_asked_for(account: Account) -> object:
    for number in range(5):
        account.create(f"q{number}")
    pages = account.sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=account.name("q"), PaginationConfig={"PageSize": 2}
    )
    return [len(page["QueueUrls"]) for page in pages]


@CASES.add(
    Need.PROMPT,
    source="API reference, SetQueueAttributes; Developer guide, Message quotas",
    sqs=[["0", "345600", "0", "30", "1048576"], "12", ["VisibilityTimeout"]],
)
def attributes_have_defaults_and_can_be_set(account: Account) -> object:
    url = account.create()
    shown = account.attributes(url, "All")
    account.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "12"})
    asked = account.attributes(url, "VisibilityTimeout")
    return [
        [
            shown["DelaySeconds"],
            shown["MessageRetentionPeriod"],
            shown["ReceiveMessageWaitTimeSeconds"],
            shown["VisibilityTimeout"],
            shown["MaximumMessageSize"],
        ],
        asked["VisibilityTimeout"],
        list(asked),
    ]


_REFUSED = "InvalidAttributeValue"
_BOUNDS = {
    "MessageRetentionPeriod": (59, 60, 1_209_600, 1_209_601),
    "VisibilityTimeout": (-1, 0, 43_200, 43_201),
    "DelaySeconds": (-1, 0, 900, 901),
    "ReceiveMessageWaitTimeSeconds": (-1, 0, 20, 21),
    "MaximumMessageSize": (1_023, 1_024, 1_048_576, 1_048_577),
}
_BOUNDLESS = Differs({name: ["accepted"] * 4 for name in _BOUNDS}, "takes any number")


@CASES.add(
    source="API reference, SetQueueAttributes",
    sqs={name: [_REFUSED, "accepted", "accepted", _REFUSED] for name in _BOUNDS},
    moto=_BOUNDLESS,
    localstack=_BOUNDLESS,
)
def attributes_have_bounds(account: Account) -> object:
    url = account.create()

    def give(name: str, value: int) -> str:
        chosen: dict[Any, str] = {name: str(value)}
        return code_of(lambda: account.sqs.set_queue_attributes(QueueUrl=url, Attributes=chosen))

    return {name: [give(name, value) for value in values] for name, values in _BOUNDS.items()}


@CASES.add(
    source="API reference, SetQueueAttributes and GetQueueAttributes",
    sqs=["InvalidAttributeName", "InvalidAttributeName", {}],
    moto=Differs(["accepted", "InvalidAttributeName", {}], "creates a queue with unknown ones"),
)
def attributes_that_sqs_does_not_know_are_refused(account: Account) -> object:
    url = account.create()
    return [
        code_of(lambda: account.create("other", Unheard="1")),
        code_of(lambda: account.attributes(url, "Unheard")),
        # Known, and not set.
        account.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"]).get(
            "Attributes", {}
        ),
    ]


@CASES.add(source="API reference, CreateQueue and TagQueue", sqs=[{"a": "1", "b": "2"}, {"b": "3"}])
def tags_are_kept(account: Account) -> object:
    sqs, tags = account.sqs, {"a": "1", "b": "2"}
    url = sqs.create_queue(QueueName=account.name("q"), tags=tags)["QueueUrl"]
    before = sqs.list_queue_tags(QueueUrl=url)["Tags"]
    sqs.tag_queue(QueueUrl=url, Tags={"b": "3"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    return [before, sqs.list_queue_tags(QueueUrl=url)["Tags"]]


@CASES.add(Need.PROMPT, source="API reference, PurgeQueue", sqs=[0, 0, 0])
def purging_takes_what_waits_and_what_is_in_flight(account: Account) -> object:
    url = account.create()
    account.send(url, "a", "b")
    account.sqs.receive_message(QueueUrl=url)
    account.sqs.purge_queue(QueueUrl=url)
    return account.depths(url)


_PURGED = "AWS.SimpleQueueService.PurgeQueueInProgress"


@CASES.add(source="API reference, PurgeQueue", sqs=_PURGED)
def a_queue_is_purged_only_once_a_minute(account: Account) -> object:
    url = account.create()
    account.sqs.purge_queue(QueueUrl=url)
    return code_of(lambda: account.sqs.purge_queue(QueueUrl=url))


@CASES.add(Need.CLOCK, source="API reference, PurgeQueue", sqs="accepted")
def a_queue_may_be_purged_again_after_a_minute(account: Account) -> object:
    url = account.create()
    account.sqs.purge_queue(QueueUrl=url)
    account.let_pass(61)
    return code_of(lambda: account.sqs.purge_queue(QueueUrl=url))


_DELETED = "AWS.SimpleQueueService.QueueDeletedRecently"


@CASES.add(
    source="API reference, CreateQueue and DeleteQueue",
    sqs=_DELETED,
    moto=Differs("accepted", "gives it out again at once"),
)
def a_deleted_name_is_not_free_at_once(account: Account) -> object:
    account.sqs.delete_queue(QueueUrl=account.create())
    return code_of(account.create)


@CASES.add(Need.CLOCK, source="API reference, DeleteQueue", sqs=["accepted", True])
def a_deleted_name_is_free_after_a_minute_and_begins_empty(account: Account) -> object:
    url = account.create()
    account.send(url, "a")
    account.sqs.delete_queue(QueueUrl=url)
    account.let_pass(61)
    return [code_of(account.create), account.silent(url)]


@CASES.add(Need.CLOCK, source="API reference, SetQueueAttributes", sqs=[True, 0])
def a_message_older_than_the_retention_is_dropped(account: Account) -> object:
    url = account.create("q", MessageRetentionPeriod="60")
    account.send(url, "a")
    account.let_pass(61)
    return [account.silent(url), sum(account.depths(url))]
