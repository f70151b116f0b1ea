"""Makes in LocalStack what deploy/aws makes on AWS: keys, queues, a bucket; run by make-aws.

LocalStack keeps nothing over a restart: this is run again after one, and makes what is missing. The
key that wraps the keyring is always made of the same material, or the keyring would not open again.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3

from pipeline import feeds
from pipeline.contract import Feed
from pipeline.operate.start_up.queues import DELIVERIES
from pipeline.resources.settings import ENVIRONMENT, KEYRING_KMS_KEY

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

QUEUES_KEY: Final = "alias/queues"
BUCKET: Final = "PIPELINE_LOG_BUCKET"
_RETENTION: Final = 1_209_600  # seconds: 14 days, the most that SQS allows
_KEYRING_ID: Final = "6b657972-696e-4720-8f66-636f6d706f73"
"""Always the same: it stands in what the key has wrapped."""


def main(material: Path, environment: Mapping[str, str]) -> None:
    """Makes what is missing.

    Args:
        material: The file with the keyring's key, 32 bytes in base64.
        environment: Names that key, the bucket, and what the queues' tag `environment` is to say.
    """
    kms = boto3.client("kms")
    # As LocalStack reads them; it keeps the material out of the key's tags.
    chosen = {"_custom_id_": _KEYRING_ID, "_custom_key_material_": material.read_text()}
    _key(kms, environment[KEYRING_KMS_KEY], chosen)
    _key(kms, QUEUES_KEY, {})
    sqs = boto3.client("sqs")
    for feed in feeds.discover():
        _queue(sqs, feed, environment[ENVIRONMENT])
        sys.stdout.write(f"queue {feed.queue}\n")
    s3 = boto3.client("s3")
    bucket = environment[BUCKET]
    if bucket not in {each.get("Name") for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    sys.stdout.write(f"bucket {bucket}\n")


def _key(kms: "KMSClient", alias: str, tags: Mapping[str, str]) -> None:
    if alias in {each.get("AliasName") for each in kms.list_aliases()["Aliases"]}:
        return
    written = [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
    made = kms.create_key(Tags=written)  # type: ignore[arg-type] # mappings of these two names
    kms.create_alias(AliasName=alias, TargetKeyId=made["KeyMetadata"]["KeyId"])
    sys.stdout.write(f"key {alias}\n")


def _queue(sqs: "SQSClient", feed: Feed, environment: str) -> None:
    """A queue and its dead-letter queue; those that are there are set to the same."""
    name = f"{feed.queue}-dead-letter"
    letters, queue = (_arn(sqs, each, environment) for each in (name, feed.queue))
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [queue]}
    _set(sqs, name, {"RedriveAllowPolicy": json.dumps(allow)})
    redrive = {"deadLetterTargetArn": letters, "maxReceiveCount": str(DELIVERIES)}
    hidden = str(feed.limits.visibility_seconds)
    _set(sqs, feed.queue, {"VisibilityTimeout": hidden, "RedrivePolicy": json.dumps(redrive)})


def _arn(sqs: "SQSClient", name: str, environment: str) -> str:
    """The ARN of a queue, which is made if there is none."""
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        url = sqs.create_queue(QueueName=name, tags={"environment": environment})["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return found["Attributes"]["QueueArn"]


def _set(sqs: "SQSClient", name: str, attributes: "Mapping[QueueAttributeNameType, str]") -> None:
    common: dict[QueueAttributeNameType, str] = {
        "MessageRetentionPeriod": str(_RETENTION),
        "KmsMasterKeyId": QUEUES_KEY,
    }
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={**common, **attributes})


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ)
