"""What goes wrong with the queue during a chaos run: rules for the embedded queue's own faults."""

from typing import Final

from pipeline.local.queue.faults import (
    Delay,
    Drop,
    Duplicate,
    Empty,
    Fail,
    Late,
    LoseAnswer,
    Part,
    Redeliver,
    Reorder,
    Rule,
    Short,
    Undelete,
)

_RECEIVE: Final = "ReceiveMessage"
_SEND: Final = "SendMessageBatch"
_DELETE: Final = "DeleteMessageBatch"
_HIDE: Final = "ChangeMessageVisibilityBatch"
_LOOK: Final = "GetQueueAttributes"

_ANY_CALL: Final = (_RECEIVE, _SEND, "SendMessage", _DELETE, _HIDE, _LOOK, "GetQueueUrl")

DOWN: Final = tuple(Rule(call, Fail("ServiceUnavailable")) for call in _ANY_CALL)
"""For a while no queue does anything for anybody."""

EXPIRED: Final = tuple(Rule(call, Fail("ExpiredToken")) for call in _ANY_CALL)
"""For a while nobody's credentials are good."""

RULES: Final = (
    # Of ten messages one comes twice in three of ten answers, one of thirty answers comes again
    # as a whole, and of ten deleted ones one comes back in two of ten: some 8 % of duplicates.
    Rule(_RECEIVE, Duplicate(), 0.3),
    Rule(_RECEIVE, Redeliver(1.0), 0.03),
    Rule(_DELETE, Undelete(), 0.2),
    Rule(_RECEIVE, Reorder(), 0.2),
    Rule(_RECEIVE, Short(), 0.05),
    Rule(_RECEIVE, Empty(), 0.05),
    Rule(_RECEIVE, Delay(0.5), 0.01),
    Rule(_RECEIVE, LoseAnswer(), 0.01),
    # A run receives hundreds of times, and these end it: one run of some fifteen.
    Rule(_RECEIVE, Fail("OverLimit"), 0.00005),
    Rule(_RECEIVE, Fail("KmsThrottled"), 0.00005),
    Rule(_RECEIVE, Fail("AccessDenied"), 0.00005),
    Rule(_SEND, Late(2), 0.05),
    Rule(_SEND, LoseAnswer(), 0.01),
    Rule(_SEND, Part(), 0.01),
    Rule(_SEND, Part(done=True), 0.01),
    Rule(_SEND, Fail("ExpiredToken"), 0.001),
    Rule(_DELETE, LoseAnswer(), 0.02),
    Rule(_DELETE, Part(), 0.02),
    Rule(_DELETE, Part(done=True), 0.02),
    Rule(_DELETE, Part(code="ReceiptHandleIsInvalid", sender_fault=True), 0.005),
    Rule(_HIDE, LoseAnswer(), 0.02),
    Rule(_HIDE, Part(), 0.02),
    Rule(_HIDE, Part(code="MessageNotInflight", sender_fault=True), 0.01),
    Rule(_LOOK, Delay(2.0), 0.02),
    *(
        Rule(operation, effect, probability)
        for operation in (_RECEIVE, _SEND, _DELETE, _HIDE, _LOOK)
        for effect, probability in (
            (Drop(), 0.005),
            (Fail("RequestThrottled"), 0.01),
            (Fail("InternalFailure"), 0.005),
            (Fail("ServiceUnavailable"), 0.005),
        )
    ),
)
