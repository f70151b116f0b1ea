"""What a client of SQS may rely on for queues, their attributes and dead letters."""

from typing import Any

from mypy_boto3_sqs import SQSClient

from pipeline_tests.sqs_case import Cases, code_of, depths, new_queue, receipts

CASES = Cases()


@CASES.add(sqs=["AWS.SimpleQueueService.NonExistentQueue"] * 4 + ["QueueDoesNotExist"])
def an_unknown_queue_has_both_the_old_and_the_new_name_for_its_absence(sqs: SQSClient) -> object:
    url = new_queue(sqs) + "x"
    codes = [
        code_of(lambda: sqs.get_queue_url(QueueName="qx")),
        code_of(lambda: sqs.send_message(QueueUrl=url, MessageBody="a")),
        code_of(lambda: sqs.receive_message(QueueUrl=url)),
        code_of(lambda: sqs.purge_queue(QueueUrl=url)),
    ]
    try:
        sqs.get_queue_attributes(QueueUrl=url)
    except sqs.exceptions.QueueDoesNotExist:
        codes.append("QueueDoesNotExist")
    return codes


@CASES.add(sqs=[True, "QueueAlreadyExists", "QueueAlreadyExists"])
def creating_again_is_harmless_with_equal_attributes_only(sqs: SQSClient) -> object:
    url = new_queue(sqs, VisibilityTimeout="7")
    return [
        new_queue(sqs, VisibilityTimeout="7") == new_queue(sqs) == url,
        code_of(lambda: new_queue(sqs, VisibilityTimeout="8")),
        code_of(lambda: new_queue(sqs, DelaySeconds="1")),
    ]


@CASES.add(sqs=[["a-1", "a-2"], ["b-1"], True])
def queues_are_listed_by_prefix(sqs: SQSClient) -> object:
    empty = "QueueUrls" not in sqs.list_queues()
    for name in ("a-1", "a-2", "b-1"):
        new_queue(sqs, name)
    listed = [sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"] for prefix in "ab"]
    return [*([url.rpartition("/")[2] for url in urls] for urls in listed), empty]


@CASES.add(sqs=[2, 2, 1])
def lists_come_in_pages_of_the_size_asked_for(sqs: SQSClient) -> object:
    for number in range(5):
        new_queue(sqs, f"q{number}")
    pages = sqs.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 2})
    return [len(page["QueueUrls"]) for page in pages]


@CASES.add(sqs=[["0", "345600", "0", "30", "1048576"], "12", ["VisibilityTimeout"]])
def attributes_have_sqs_defaults_and_can_be_set(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "12"})
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    return [
        [
            shown["DelaySeconds"],
            shown["MessageRetentionPeriod"],
            shown["ReceiveMessageWaitTimeSeconds"],
            shown["VisibilityTimeout"],
            shown["MaximumMessageSize"],
        ],
        asked["Attributes"]["VisibilityTimeout"],
        list(asked["Attributes"]),
    ]


@CASES.add(
    sqs=["InvalidAttributeValue", "InvalidAttributeName", "InvalidAttributeName"],
    moto=["accepted", "accepted", "InvalidAttributeName"],
)
def impossible_attributes_are_refused(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    unheard: list[Any] = ["Unheard"]
    return [
        code_of(lambda: new_queue(sqs, "other", VisibilityTimeout="43201")),
        code_of(lambda: new_queue(sqs, "other", Unheard="1")),
        code_of(lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=unheard)),
    ]


@CASES.add(
    sqs=[[1, 1, 0], True, "q", "3", ["q"]],
    moto=[[1, 1, 0], True, "", "3", ["q"]],
)
def a_message_received_too_often_moves_to_the_dead_letter_queue(sqs: SQSClient) -> object:
    dead = new_queue(sqs, "dead")
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 2}}'
    url = new_queue(sqs, RedrivePolicy=policy, VisibilityTimeout="0")
    sent = sqs.send_message(QueueUrl=url, MessageBody="a")
    taken = [len(receipts(sqs, url)) for _ in range(3)]
    (message,) = sqs.receive_message(QueueUrl=dead, AttributeNames=["All"])["Messages"]
    facts = message["Attributes"]
    sources = sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]
    return [
        taken,
        message["MessageId"] == sent["MessageId"],
        facts.get("DeadLetterQueueSourceArn", "").rpartition(":")[2],
        facts["ApproximateReceiveCount"],
        [source.rpartition("/")[2] for source in sources],
    ]


@CASES.add(
    sqs=["InvalidParameterValue", "InvalidParameterValue"],
    moto=["AWS.SimpleQueueService.NonExistentQueue", "accepted"],
)
def a_redrive_policy_needs_a_queue_that_exists_and_a_sensible_count(sqs: SQSClient) -> object:
    def create(arn: str, count: int) -> str:
        policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": {count}}}'
        return code_of(lambda: new_queue(sqs, "source", RedrivePolicy=policy))

    url = new_queue(sqs)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    return [create(arn + "x", 2), create(arn, 0)]


@CASES.add(sqs=[[0, 0, 0], "AWS.SimpleQueueService.PurgeQueueInProgress"])
def purging_takes_everything_and_only_once_a_minute(sqs: SQSClient) -> object:
    url = new_queue(sqs)
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="a")
    receipts(sqs, url)
    sqs.purge_queue(QueueUrl=url)
    return [depths(sqs, url), code_of(lambda: sqs.purge_queue(QueueUrl=url))]


@CASES.add(sqs=["AWS.SimpleQueueService.QueueDeletedRecently"], moto=["accepted"])
def a_deleted_name_is_not_free_at_once(sqs: SQSClient) -> object:
    sqs.delete_queue(QueueUrl=new_queue(sqs))
    return [code_of(lambda: new_queue(sqs))]


@CASES.add(sqs=[{"a": "1", "b": "2"}, {"b": "3"}])
def tags_are_kept(sqs: SQSClient) -> object:
    url = sqs.create_queue(QueueName="q", tags={"a": "1", "b": "2"})["QueueUrl"]
    before = sqs.list_queue_tags(QueueUrl=url)["Tags"]
    sqs.tag_queue(QueueUrl=url, Tags={"b": "3"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    return [before, sqs.list_queue_tags(QueueUrl=url)["Tags"]]
