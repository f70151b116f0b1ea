"""The embedded queue's limits: what SQS refuses, and what it just takes."""

import pytest

from pipeline.local.queue.messages import MAX_BYTES, Attribute, check_message, md5_of_attributes
from pipeline.local.queue.queues import Queues
from pipeline_tests.queue_fixtures import refusal


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("q.fifo", "UnsupportedOperation"),
        ("with space", "InvalidParameterValueException"),
        ("", "InvalidParameterValueException"),
        ("x" * 81, "InvalidParameterValueException"),
    ],
)
def test_a_name_that_no_standard_queue_can_have_is_refused(
    queues: Queues, name: str, code: str
) -> None:
    assert refusal(lambda: queues.create(name, {}, {})) == code


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"VisibilityTimeout": "-1"}, "InvalidAttributeValue"),
        ({"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"),
        ({"DelaySeconds": "9" * 5_000}, "InvalidAttributeValue"),
        ({"DelaySeconds": ""}, "InvalidAttributeValue"),
        ({"Unheard": "1"}, "InvalidAttributeName"),
        ({"FifoQueue": "true"}, "InvalidAttributeName"),
        ({"RedrivePolicy": "{"}, "InvalidParameterValueException"),
        ({"RedrivePolicy": '{"deadLetterTargetArn": "x"}'}, "InvalidParameterValueException"),
        (
            {"RedrivePolicy": '{"deadLetterTargetArn": "x", "maxReceiveCount": 1}'},
            "InvalidParameterValueException",
        ),
        (
            {"RedrivePolicy": '{"deadLetterTargetArn": "x", "maxReceiveCount": 0}'},
            "InvalidParameterValueException",
        ),
    ],
)
def test_an_attribute_outside_its_limits_is_refused_and_nothing_changes(
    queues: Queues, attributes: dict[str, str], code: str
) -> None:
    before = queues.get("q").state.settings
    assert refusal(lambda: queues.change_settings("q", attributes)) == code
    assert queues.get("q").state.settings == before


def text(value: str, data_type: str = "String") -> Attribute:
    return Attribute(data_type=data_type, string_value=value)


@pytest.mark.parametrize(
    ("body", "attributes", "code"),
    [
        ("", {}, "MissingParameterException"),
        ("\x00", {}, "InvalidMessageContents"),
        ("a\x0bb", {}, "InvalidMessageContents"),
        ("\ufffe", {}, "InvalidMessageContents"),
        ("x" * (MAX_BYTES + 1), {}, "InvalidParameterValueException"),
        ("\u00e9" * (MAX_BYTES // 2 + 1), {}, "InvalidParameterValueException"),
        ("x" * (MAX_BYTES - 8), {"nn": text("v")}, "InvalidParameterValueException"),
        ("x", {str(i): text("v") for i in range(11)}, "InvalidParameterValueException"),
        ("x", {"AWS.n": text("v")}, "InvalidParameterValueException"),
        ("x", {".n": text("v")}, "InvalidParameterValueException"),
        ("x", {"n..n": text("v")}, "InvalidParameterValueException"),
        ("x", {"n": text("")}, "InvalidParameterValueException"),
        ("x", {"n": text("v", "Number")}, "InvalidParameterValueException"),
        ("x", {"n": text("v", "Binary")}, "InvalidParameterValueException"),
        ("x", {"n": text("v", "Text")}, "InvalidParameterValueException"),
        ("x", {"n": text("\x01")}, "InvalidMessageContents"),
    ],
)
def test_a_message_outside_the_limits_is_refused(
    body: str, attributes: dict[str, Attribute], code: str
) -> None:
    assert refusal(lambda: check_message(body, attributes, max_bytes=MAX_BYTES)) == code


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ("\t\n\r \ud7ff\ue000\ufffd\U0010ffff", {}),
        ("x" * MAX_BYTES, {}),
        ("x" * (MAX_BYTES - 9), {"nn": text("v")}),
        ("x", {"a.b-c_d": text("-1.5e3", "Number.float")}),
        ("x", {"n": Attribute(data_type="Binary", binary_value=b"\x00")}),
    ],
)
def test_a_message_at_the_limits_is_taken(body: str, attributes: dict[str, Attribute]) -> None:
    check_message(body, attributes, max_bytes=MAX_BYTES)


def test_the_digest_of_attributes_does_not_depend_on_their_order() -> None:
    one, two = text("1", "Number"), Attribute(data_type="Binary", binary_value=b"ab")
    assert md5_of_attributes({"a": one, "b": two}) == md5_of_attributes({"b": two, "a": one})
