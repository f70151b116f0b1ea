"""Whom the embedded queue's server answers, and what it says to malformed requests."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

GOOD = {"X-Amz-Target": "AmazonSQS.ListQueues"}


def request(
    endpoint: str, headers: dict[str, str], body: bytes = b"{}", method: str = "POST"
) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
    try:
        connection.request(method, "/", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (GOOD, 200),
        (GOOD | {"Host": "localhost"}, 200),
        (GOOD | {"Host": "127.9.9.9:80"}, 200),
        (GOOD | {"Host": "[::1]:4566"}, 200),
        (GOOD | {"Host": "[::1]"}, 200),
        (GOOD | {"Origin": "http://localhost:3000"}, 403),
        (GOOD | {"Origin": "null"}, 403),
        (GOOD | {"Host": "evil.example"}, 403),
        (GOOD | {"Host": "127.0.0.1.evil.example:80"}, 403),
        (GOOD | {"Host": "10.0.0.1:80"}, 403),
        (GOOD | {"Host": ""}, 403),
        ({}, 400),
        ({"X-Amz-Target": "DynamoDB_20120810.ListTables"}, 400),
    ],
)
def test_only_callers_that_no_web_page_can_imitate_are_served(
    queue_endpoint: str, headers: dict[str, str], status: int
) -> None:
    assert request(queue_endpoint, headers)[0] == status


def test_a_get_is_refused_even_with_the_right_header(queue_endpoint: str) -> None:
    assert request(queue_endpoint, GOOD, method="GET")[0] == 400


def test_a_body_too_long_for_any_batch_is_refused(queue_endpoint: str) -> None:
    status, answer = request(queue_endpoint, GOOD, b" " * (8 * 1_048_576 + 1))
    assert (status, answer["message"]) == (413, "The body is longer than 8388608 bytes")


def test_an_unknown_operation_names_the_known_ones(queue_endpoint: str) -> None:
    status, answer = request(queue_endpoint, {"X-Amz-Target": "AmazonSQS.AddPermission"})
    assert status == 400
    assert answer["__type"] == "com.amazonaws.sqs#UnknownOperationException"
    assert "'AddPermission'" in answer["message"]
    assert "SendMessageBatch" in answer["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"QueueUrl": 5}',
        b'{"QueueUrl": "http://localhost/000000000000/q"}',
        b'{"QueueUrl": "x", "MessageBody": "\\ud800"}',
        b'{"QueueUrl": "x", "MessageBody": "\xff"}',
        b'{"QueueUrl": ' + b"[" * 100_000,
        b'{"QueueUrl": "x", "MessageBody": "x", "DelaySeconds": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_malformed_body_is_refused_without_its_values(queue_endpoint: str, body: bytes) -> None:
    headers = {"X-Amz-Target": "AmazonSQS.SendMessage"}
    status, answer = request(queue_endpoint, headers, body)
    assert (status, answer["__type"]) == (400, "com.amazonaws.sqs#SerializationException")
    assert "999" not in answer["message"]


@pytest.mark.parametrize("url", ["http://[/q", "q", "http://localhost/111111111111/q", ""])
def test_a_url_that_is_no_queues_is_refused(queue_endpoint: str, url: str) -> None:
    headers = {"X-Amz-Target": "AmazonSQS.PurgeQueue"}
    body = json.dumps({"QueueUrl": url}).encode()
    status, answer = request(queue_endpoint, headers, body)
    assert (status, answer["__type"]) == (400, "com.amazonaws.sqs#QueueDoesNotExist")
