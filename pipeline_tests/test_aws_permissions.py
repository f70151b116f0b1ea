"""Roles of `deploy/aws`: the calls that the code makes, on what it makes them on, and no others."""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from botocore import xform_name
from botocore.session import Session

import pipeline
from pipeline.feeds import discover
from pipeline_tests.aws_case import ACCOUNT, ENDPOINT, ENVIRONMENT, REGION, access, deployment, role
from pipeline_tests.aws_case import queue_arn as arn
from pipeline_tests.permissions import Access

QUEUE: Final = arn("login-queue")
LETTERS: Final = arn("login-queue-dead-letter")
QUEUE_KEY: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/QueueKey"
KEYRING_KEY: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/KeyringKey"
SECRETS: Final = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:pipeline/{ENVIRONMENT}"
PURPOSE: Final = {"kms__EncryptionContext__purpose": "sqs-postgres-pipeline keyring"}
THROUGH_SQS: Final = {"kms__ViaService": f"sqs.{REGION}.amazonaws.com"}
INSIDE: Final = {"aws__SourceVpce": ENDPOINT}

NAMED: Final = {"secretsmanager__Name": f"pipeline/{ENVIRONMENT}/keyring"}

ROLES: Final = (
    "code", "custodian", "daemon", "execution", "exporter", "keeper", "producer", "redriver", "run"
)  # fmt: skip
RESOURCES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "queue": (QUEUE, INSIDE),
    "letters": (LETTERS, INSIDE),
    "queue key": (QUEUE_KEY, THROUGH_SQS),
    "keyring key": (KEYRING_KEY, PURPOSE),
    "envelope": (f"{SECRETS}/keyring-AbCdEf", NAMED),
    "api keys": (f"{SECRETS}/api-keys-AbCdEf", {}),
}  # fmt: skip
"""What calls are made on, and what AWS knows of a call that is made there as the code makes it."""

LOOKERS: Final = "code exporter redriver run"
OPENERS: Final = "custodian keeper redriver run"
CALLS: Final[dict[str, dict[str, str]]] = {
    "resources/sqs.py:_url sqs:GetQueueUrl": {
        "queue": f"{LOOKERS} producer",
        "letters": LOOKERS,
    },
    "resources/sqs.py:_depth sqs:GetQueueAttributes": {"queue": LOOKERS, "letters": LOOKERS},
    "resources/sqs.py:SqsQueue.dead_letter_depth sqs:GetQueueAttributes": {"queue": "run"},
    "resources/sqs.py:SqsQueue.receive sqs:ReceiveMessage": {
        "queue": "run",
        "letters": "redriver run",
    },
    "resources/sqs.py:SqsQueue.send sqs:SendMessage": {"queue": "producer redriver"},
    "resources/sqs.py:SqsQueue.delete sqs:DeleteMessage": {"queue": "run", "letters": "redriver"},
    "resources/sqs.py:SqsQueue.hide sqs:ChangeMessageVisibility": {
        "queue": "run",
        "letters": "redriver run",
    },
    "operate/metrics/queues.py:Queues._dead_letters sqs:GetQueueUrl": {"letters": "exporter"},
    "operate/metrics/queues.py:_attributes sqs:GetQueueAttributes": {
        "queue": "exporter",
        "letters": "exporter",
    },
    # Of the embedded queue alone.
    "resources/sqs.py:_make sqs:CreateQueue": {},
    "resources/sqs.py:_make sqs:GetQueueAttributes": {},
    "resources/dead_letter_queue.py:_attributes sqs:GetQueueAttributes": {
        "queue": LOOKERS,
        "letters": LOOKERS,
    },
    "resources/dead_letter_queue.py:DeadLetterQueue.check_unshared"
    " sqs:ListDeadLetterSourceQueues": {"letters": "redriver"},
    "resources/dead_letter_queue.py:DeadLetterQueue.start_move sqs:StartMessageMoveTask": {
        "letters": "redriver"
    },
    "resources/dead_letter_queue.py:DeadLetterQueue.latest_move sqs:ListMessageMoveTasks": {
        "letters": "redriver"
    },
    "resources/dead_letter_queue.py:DeadLetterQueue.cancel_move sqs:CancelMessageMoveTask": {
        "letters": "redriver"
    },
    "resources/queue_facts.py:read_facts sqs:GetQueueUrl": {"queue": "run", "letters": "run"},
    "resources/queue_facts.py:read_facts sqs:GetQueueAttributes": {
        "queue": "run",
        "letters": "run",
    },
    "resources/queue_facts.py:read_environment sqs:ListQueueTags": {"queue": "redriver run"},
    "resources/key_envelope.py:KeyEnvelope._open kms:Decrypt": {"keyring key": OPENERS},
    "resources/key_envelope.py:KeyEnvelope._new_root kms:GenerateDataKeyWithoutPlaintext": {
        "keyring key": "keeper"
    },
    "resources/key_places.py:SecretPlace.read secretsmanager:GetSecretValue": {"envelope": OPENERS},
    "resources/key_places.py:SecretPlace.make secretsmanager:CreateSecret": {"envelope": "keeper"},
    "resources/key_places.py:SecretPlace.replace secretsmanager:PutSecretValue": {
        "envelope": "keeper"
    },
    "resources/key_places.py:SecretPlace.replace secretsmanager:UpdateSecretVersionStage": {
        "envelope": "keeper"
    },
    # These stacks keep the keyring in Secrets Manager.
    "resources/key_places.py:SsmPlace.read ssm:GetParameter": {},
    "resources/key_places.py:SsmPlace.make ssm:PutParameter": {},
    "resources/key_places.py:SsmPlace.replace ssm:PutParameter": {},
    "produce/rest/key_sources.py:SecretSource.read secretsmanager:GetSecretValue": {
        "api keys": "producer"
    },
    # Of the queue of warm workers, which these stacks do not have.
    "warm/app.py:_check_visibility sqs:GetQueueAttributes": {},
}
"""Each call of AWS that the code makes, with the roles that make it, by what they make it on."""

ENCRYPTED: Final = {
    "sqs:SendMessage": ("kms:Decrypt", "kms:GenerateDataKey"),
    "sqs:ReceiveMessage": ("kms:Decrypt",),
}
"""What SQS asks of the caller besides, where the queue has a key of the account's own.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
"""

PACKAGE: Final = Path(pipeline.__file__).parent
NOT_OF_AWS: Final = (
    "local",
    "masking",
    "operate/alerts",
    "produce/rest/idempotency_table.py",
    "transport",
)
"""Where methods have such names too: a server of our own, ciphers, a mail server, a signature."""


@functools.cache
def actions() -> dict[str, str]:
    """Every method that a client of the four services has, and the action that it takes."""
    session = Session()
    return {
        xform_name(operation): f"{service}:{operation.removesuffix('Batch')}"
        for service in ("kms", "secretsmanager", "ssm", "sqs")
        for operation in session.get_service_model(service).operation_names
    }


class Calls(ast.NodeVisitor):
    """Notes each call of such a method, with the function that it stands in."""

    def __init__(self, module: str) -> None:
        self.found: set[str] = set()
        self._module = module
        self._within: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            method = node.func.attr
            if method == "get_paginator" and isinstance(node.args[0], ast.Constant):
                method = str(node.args[0].value)
            if method in actions():
                self.found.add(f"{self._module}:{'.'.join(self._within)} {actions()[method]}")
        self.generic_visit(node)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()


def calls() -> Iterator[str]:
    """Each call of AWS in the code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if not module.startswith(NOT_OF_AWS):
            visitor = Calls(module)
            visitor.visit(ast.parse(path.read_text()))
            yield from visitor.found


def needed(name: str) -> set[tuple[str, str]]:
    """What a role has to be allowed: the actions, each with what it is done to."""
    found = {
        (call.split()[1], what)
        for call, by in CALLS.items()
        for what, roles in by.items()
        if name in roles.split()
    }
    encrypted = {(also, "queue key") for action, _ in found for also in ENCRYPTED.get(action, ())}
    return found | encrypted


def test_every_call_of_the_code_is_known_here() -> None:
    assert set(calls()) == set(CALLS)


@pytest.mark.parametrize("name", ROLES)
def test_a_role_may_what_its_calls_need_and_nothing_more(name: str) -> None:
    allowed = {
        (action, what)
        for action in set(actions().values())
        for what, (resource, context) in RESOURCES.items()
        if access().may(role(name), action, resource, **context)
    }
    assert allowed == needed(name)


def test_every_role_is_in_the_table() -> None:
    made = {each["RoleName"] for each in access().deployed.of_type("AWS::IAM::Role")}
    assert made == {role(name) for name in ROLES}


@pytest.mark.parametrize("name", ROLES)
def test_nobody_purges_deletes_or_reshapes_a_queue(name: str) -> None:
    for queue in (QUEUE, LETTERS):
        for action in ("PurgeQueue", "DeleteQueue", "SetQueueAttributes", "AddPermission"):
            assert not access().may(role(name), f"sqs:{action}", queue, **INSIDE)


def test_who_sends_cannot_receive_and_who_receives_cannot_send() -> None:
    assert access().may(role("producer"), "sqs:SendMessage", QUEUE, **INSIDE)
    assert access().may(role("run"), "sqs:ReceiveMessage", QUEUE, **INSIDE)
    for action in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"):
        assert not access().may(role("producer"), f"sqs:{action}", QUEUE, **INSIDE)
    assert not access().may(role("run"), "sqs:SendMessage", QUEUE, **INSIDE)


@pytest.mark.parametrize("queue", sorted(feed.queue for feed in discover()))
def test_every_feeds_queue_is_drained_and_no_other(queue: str) -> None:
    assert access().may(role("run"), "sqs:ReceiveMessage", arn(queue), **INSIDE)
    assert access().may(role("code"), "sqs:GetQueueAttributes", arn(f"{queue}-dead-letter"))
    assert not access().may(role("run"), "sqs:ReceiveMessage", arn(f"{queue}-of-others"), **INSIDE)


ADMINISTRATOR: Final = {"Effect": "Allow", "Action": "*", "Resource": "*"}


class _WithAdministrator(Access):
    """The same policies, and an administrator of the account, whose own policy allows all."""

    def of_role(self, role: str) -> Iterator[Mapping[str, Any]]:
        assert role == "admin"
        yield ADMINISTRATOR


def test_an_administrator_neither_purges_nor_deletes_nor_goes_without_tls() -> None:
    anyone = _WithAdministrator(access().deployed)
    for queue in (QUEUE, LETTERS):
        assert anyone.may("admin", "sqs:SetQueueAttributes", queue)  # to change the policy first
        assert not anyone.may("admin", "sqs:PurgeQueue", queue)
        assert not anyone.may("admin", "sqs:DeleteQueue", queue)
        plain = {"aws__SecureTransport": "false"}
        assert not anyone.may("admin", "sqs:SendMessage", queue, **INSIDE, **plain)
        assert not anyone.may("admin", "sqs:GetQueueUrl", queue, **plain)


def test_an_administrator_opens_neither_key() -> None:
    anyone = _WithAdministrator(access().deployed)
    for key in (QUEUE_KEY, KEYRING_KEY):
        assert anyone.may("admin", "kms:DescribeKey", key)
        assert not anyone.may("admin", "kms:Decrypt", key, **PURPOSE)
        assert not anyone.may("admin", "kms:GenerateDataKeyWithoutPlaintext", key, **PURPOSE)
        assert not anyone.may("admin", "kms:CreateGrant", key)
        assert not anyone.may("admin", "kms:ReEncryptFrom", key, **PURPOSE)


def test_messages_move_through_the_endpoint_alone_where_one_is_named() -> None:
    outside = {"aws__SourceVpce": "vpce-of-others"}
    for context in ({}, outside):
        assert not access().may(role("producer"), "sqs:SendMessage", QUEUE, **context)
        assert not access().may(role("redriver"), "sqs:ReceiveMessage", LETTERS, **context)
        assert access().may(role("code"), "sqs:GetQueueAttributes", QUEUE, **context)
    # SQS moves messages itself, on behalf of who asked for it.
    moved = {"aws__ViaAWSService": "true"}
    assert access().may(role("redriver"), "sqs:SendMessage", QUEUE, **moved)
    anywhere = Access(deployment(queue={"VpcEndpoint": ""}))
    assert anywhere.may(role("producer"), "sqs:SendMessage", QUEUE)


@pytest.mark.parametrize("name", ["custodian", "keeper", "redriver", "run"])
def test_the_keyring_is_opened_for_its_purpose_alone(name: str) -> None:
    other = {"kms__EncryptionContext__purpose": "another"}
    assert access().may(role(name), "kms:Decrypt", KEYRING_KEY, **PURPOSE)
    assert not access().may(role(name), "kms:Decrypt", KEYRING_KEY, **other)
    assert not access().may(role(name), "kms:Decrypt", KEYRING_KEY)


@pytest.mark.parametrize("name", ROLES)
def test_the_queues_key_opens_nothing_but_messages(name: str) -> None:
    assert not access().may(role(name), "kms:Decrypt", QUEUE_KEY)
    assert not access().may(role(name), "kms:Decrypt", QUEUE_KEY, **PURPOSE)


def test_runs_send_only_where_they_are_told_to() -> None:
    sending = Access(deployment(roles={"RunsMaySend": "yes"}))
    assert sending.may(role("run"), "sqs:SendMessage", QUEUE, **INSIDE)
    assert sending.may(role("run"), "kms:GenerateDataKey", QUEUE_KEY, **THROUGH_SQS)
    assert not sending.may(role("run"), "sqs:SendMessage", LETTERS, **INSIDE)


def test_a_producer_of_somebody_elses_sends_to_one_queue() -> None:
    principal = f"arn:aws:iam::{ACCOUNT}:role/shop"
    made = deployment(queue={"ProducerPrincipal": principal})
    [theirs] = [
        each["Properties"]
        for (stack, _), each in made.resources.items()
        if each["Type"] == "AWS::IAM::Role" and stack.endswith("-queue-login-queue")
    ]
    assert theirs["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": principal}
    theirs["RoleName"] = "shop"
    who = Access(made)
    assert who.may("shop", "sqs:SendMessage", QUEUE, **INSIDE)
    assert who.may("shop", "kms:GenerateDataKey", QUEUE_KEY, **THROUGH_SQS)
    assert not who.may("shop", "sqs:SendMessage", arn("message-queue"), **INSIDE)
    assert not who.may("shop", "sqs:ReceiveMessage", QUEUE, **INSIDE)


def test_the_execution_role_hands_over_what_containers_are_given_alone() -> None:
    may = access().may
    assert may(
        role("execution"), "secretsmanager:GetSecretValue", f"{SECRETS}/containers/etl-url-AbCdEf"
    )
    for other in ("keyring-AbCdEf", "api-keys-AbCdEf", "log-ins/etl-AbCdEf"):
        assert not may(role("execution"), "secretsmanager:GetSecretValue", f"{SECRETS}/{other}")


def test_logs_are_written_by_runs_and_the_code_server_and_read_by_no_process() -> None:
    log = f"arn:aws:s3:::pipeline-{ENVIRONMENT}-logs-{ACCOUNT}-{REGION}/dagster/storage/a.err"
    kms = {"s3__x-amz-server-side-encryption": "aws:kms"}
    writers = {name for name in ROLES if access().may(role(name), "s3:PutObject", log, **kms)}
    assert writers == {"code", "run"}
    assert not [name for name in ROLES if access().may(role(name), "s3:GetObject", log)]
    plain = {"s3__x-amz-server-side-encryption": "AES256"}
    assert not access().may(role("run"), "s3:PutObject", log, **plain)
    assert not access().may(role("run"), "s3:PutObject", log, **kms, aws__SecureTransport="false")
