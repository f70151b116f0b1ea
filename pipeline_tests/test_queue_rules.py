"""The rules by which the embedded queue misbehaves: what they mean, and what a seed repeats."""

import json

import msgspec
import pytest

from pipeline.local.queue.faults import (
    AnyEffect,
    Delay,
    Drop,
    Empty,
    Fail,
    Late,
    Part,
    Redeliver,
    Reorder,
    Rule,
    Short,
)
from pipeline.local.queue.misbehaviour import Misbehaviour


def fired(misbehaviour: Misbehaviour, *calls: tuple[str, str]) -> list[list[str]]:
    """The kinds of fault that each call meets."""
    return [[c.effect.kind for c in misbehaviour.of_call(*call)] for call in calls]


SEND, RECEIVE = ("SendMessage", "q"), ("ReceiveMessage", "q")


def test_a_rule_is_about_its_operation_and_its_queue_and_a_star_about_all() -> None:
    rules = [
        Rule("SendMessage", Drop(), queue="q"),
        Rule("ReceiveMessage", Empty()),
        Rule("*", Fail("OverLimit")),
    ]
    calls = [SEND, ("SendMessage", "other"), ("ReceiveMessage", "other"), ("ListQueues", "")]
    assert fired(Misbehaviour(rules), *calls) == [
        ["drop", "fail:OverLimit"],
        ["fail:OverLimit"],
        ["empty", "fail:OverLimit"],
        ["fail:OverLimit"],
    ]


def test_ordinals_count_the_calls_that_the_rule_is_about() -> None:
    rules = [
        Rule("SendMessage", Drop(), calls=(2, 3)),
        Rule("SendMessage", Delay(), calls=(3, None)),
    ]
    calls = [SEND, RECEIVE, SEND, RECEIVE, SEND, SEND]
    assert fired(Misbehaviour(rules), *calls) == [
        [], [], ["drop"], [], ["drop", "delay"], ["delay"]
    ]  # fmt: skip


def decisions(*rules: Rule, seed: int = 7) -> list[list[str]]:
    return fired(Misbehaviour(rules, seed), *[SEND, RECEIVE] * 200)


def test_a_seed_gives_the_same_decisions_again_and_another_gives_others() -> None:
    rule = Rule("*", Drop(), probability=0.3)
    assert decisions(rule) == decisions(rule)
    assert decisions(rule) != decisions(rule, seed=8)
    assert 80 < sum(map(len, decisions(rule))) < 160, "about three of ten"


def test_two_rules_that_say_the_same_decide_each_for_itself() -> None:
    rule = Rule("*", Drop(), probability=0.5)
    assert {len(call) for call in decisions(rule, rule)} == {0, 1, 2}


def test_a_rule_decides_the_same_whatever_stands_beside_it() -> None:
    first = Rule("SendMessage", Drop(), probability=0.5)
    other = Rule("*", Delay(), probability=0.5)
    alone = decisions(first)
    beside = [[kind for kind in call if kind == "drop"] for call in decisions(first, other)]
    assert beside == alone
    narrower = Rule("*", Delay(), probability=0.5, calls=(50, 60))
    beside = [[kind for kind in call if kind == "drop"] for call in decisions(first, narrower)]
    assert beside == alone


def test_what_an_effect_draws_for_itself_shifts_no_decision() -> None:
    rule = Rule("ReceiveMessage", Reorder(), probability=0.5)
    idle, busy = Misbehaviour([rule], 3), Misbehaviour([rule], 3)
    for _ in range(100):
        left, right = idle.of_call(*RECEIVE), busy.of_call(*RECEIVE)
        assert [c.effect for c in left] == [c.effect for c in right]
        for one, other in zip(left, right, strict=True):
            assert one.rng.random() == other.rng.random()
            other.rng.random()


def test_new_rules_begin_anew_and_the_counts_go_on() -> None:
    rule = Rule("SendMessage", Drop(), calls=(2, 2))
    misbehaviour = Misbehaviour([rule])
    assert fired(misbehaviour, SEND) == [[]]
    misbehaviour.set_rules([rule], 0)
    assert fired(misbehaviour, SEND, SEND) == [[], ["drop"]]
    assert misbehaviour.calls == {"SendMessage": 3}


def test_a_rule_survives_json() -> None:
    effects: list[tuple[str, AnyEffect]] = [
        ("ReceiveMessage", Short(most=3)),
        ("DeleteMessageBatch", Part(code="InternalError", sender_fault=True, done=True)),
        ("SendMessage", Late(seconds=9)),
        ("*", Fail("ExpiredToken")),
    ]
    for operation, effect in effects:
        rule = Rule(operation, effect, 0.25, (1, None), "q")
        assert msgspec.json.decode(msgspec.json.encode(rule), type=Rule) == rule


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("RequestThrottled", 400),
        ("ThrottlingException", 400),
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
        ("OverLimit", 400),
        ("AccessDenied", 403),
        ("KmsAccessDenied", 400),
        ("ExpiredToken", 403),
        ("QueueDoesNotExist", 400),
    ],
)
def test_an_error_comes_with_its_usual_status_or_the_one_that_is_named(
    code: str, status: int
) -> None:
    assert Fail(code).http_status == status
    assert Fail(code, 502).http_status == 502


GOOD = {"operation": "ReceiveMessage", "effect": {"kind": "short", "most": 1}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"operation": "Receive"}, "operation: no operation"),
        ({"operation": "*"}, "operation: short is for ReceiveMessage"),
        ({"operation": "SendMessage"}, "operation: short is for ReceiveMessage"),
        ({"effect": {"kind": "late"}}, "late is for SendMessage, SendMessageBatch"),
        ({"effect": {"kind": "undelete"}}, "undelete is for DeleteMessage, DeleteMessageBatch"),
        ({"operation": "SendMessage", "effect": {"kind": "part"}}, "part:InternalError is for"),
        ({"effect": {"kind": "shrt"}}, r"\$\[0\].effect.kind"),
        ({"effect": {"kind": "short", "mots": 1}}, "unknown field `mots`"),
        ({"effect": {"kind": "short", "most": 0}}, "effect.most"),
        ({"effect": {"kind": "redeliver", "seconds": -1}}, "effect.seconds"),
        ({"effect": {"kind": "reorder", "among": 1}}, "effect.among"),
        ({"operation": "SendMessage", "effect": {"kind": "late", "seconds": 901}}, "1 to 900"),
        ({"effect": {"kind": "fail", "code": "X", "status": 200}}, "effect.status"),
        ({"effect": {"kind": "fail"}}, "missing required field `code`"),
        ({"probability": 1.1}, "probability: from 0 to 1"),
        ({"probability": -0.1}, "probability: from 0 to 1"),
        ({"calls": [0, 1]}, "calls: the first"),
        ({"calls": [3, 2]}, "calls: the first"),
        ({"calls": [3]}, "calls"),
        ({"probabillity": 1}, "unknown field `probabillity`"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_clear_error(
    change: dict[str, object], says: str
) -> None:
    content = json.dumps([GOOD | change])
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.json.decode(content, type=list[Rule])


def test_the_share_of_a_batch_is_a_probability() -> None:
    with pytest.raises(ValueError, match=r"effect\.share"):
        Rule("SendMessageBatch", Part(share=1.5))
    with pytest.raises(ValueError, match=r"effect\.seconds"):
        Rule("ReceiveMessage", Redeliver(seconds=float("inf")))
