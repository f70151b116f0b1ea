"""A boto3 client without a network: calls of one process on the embedded queue's state machine."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from pipeline.local.queue import requests as ask
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.messages import Message
from pipeline.local.queue.names import name_of
from pipeline.local.queue.operation import Answer, Operation
from pipeline.local.queue.operations import OPERATIONS
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.spoiling import Spoiler
from simulation.clock import VirtualClock
from simulation.faults import DELETE, HIDE, RECEIVE, SEND, SPOILS, Fault, Faults
from simulation.process import Process

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_HOST: Final = "simulated"
_FORMS: Final[dict[str, type[ask.Request]]] = {
    "GetQueueUrl": ask.GetQueueUrl,
    "GetQueueAttributes": ask.GetQueueAttributes,
    RECEIVE: ask.ReceiveMessage,
    DELETE: ask.DeleteMessageBatch,
    HIDE: ask.ChangeMessageVisibilityBatch,
    SEND: ask.SendMessageBatch,
}


class Sqs:
    """The service behind all clients.

    Attributes:
        queues: The state machine.
        down: Whether it answers nobody.
        witness: Told of each message that a call is about to delete, and of the queue's name.
    """

    def __init__(
        self,
        queues: Queues,
        clock: VirtualClock,
        faults: Faults,
        witness: Callable[[str, Message], None],
    ) -> None:
        self.queues = queues
        self.clock = clock
        self.faults = faults
        self.witness = witness
        self.down = False


class Client:
    """The calls that this project makes, for one process.

    Attributes:
        received: The messages that the process has received: their ids by receipt.
        bodies: What they say.
    """

    def __init__(self, process: Process, sqs: Sqs, receiving: Callable[[], None]) -> None:
        self.received: dict[str, str] = {}
        self.bodies: set[str] = set()
        self._process = process
        self._sqs = sqs
        self._receiving = receiving

    def as_boto3(self) -> "SQSClient":
        """As the adapter wants it."""
        return cast("SQSClient", self)

    def let_go(self, message_id: str) -> None:
        """Forgets a message, which is not hidden by this process any more."""
        self.received = {k: each for k, each in self.received.items() if each != message_id}

    def forget(self) -> None:
        """Forgets what was received: a batch is over."""
        self.received.clear()
        self.bodies.clear()

    def get_queue_url(self, **given: object) -> Answer:
        """GetQueueUrl."""
        return self._call("GetQueueUrl", given)

    def get_queue_attributes(self, **given: object) -> Answer:
        """GetQueueAttributes."""
        return self._call("GetQueueAttributes", given)

    def receive_message(self, **given: object) -> Answer:
        """ReceiveMessage."""
        return self._call(RECEIVE, given)

    def send_message_batch(self, **given: object) -> Answer:
        """SendMessageBatch."""
        return self._call(SEND, given)

    def delete_message_batch(self, **given: object) -> Answer:
        """DeleteMessageBatch."""
        return self._call(DELETE, given)

    def change_message_visibility_batch(self, **given: object) -> Answer:
        """ChangeMessageVisibilityBatch."""
        return self._call(HIDE, given)

    def _call(self, name: str, given: dict[str, object]) -> Answer:
        fault = self._process.enter(name)
        self._reach(name, fault)
        request = msgspec.convert(given, _FORMS[name])
        work = functools.partial(self._work, OPERATIONS[name])
        if isinstance(request, ask.ReceiveMessage):
            self._receiving()
            answer = self._receive(request, self._spoiled(work, name, fault), fault)
        else:
            self._tell(request)
            answer = self._spoiled(work, name, fault)(request)
        self._process.leave(fault)
        if fault is Fault.ANSWER_LOST:
            self._suffer(name, fault)
            raise ConnectionClosedError(endpoint_url=_HOST)
        if isinstance(request, ask.ReceiveMessage):
            self._note(answer, fault)
        plain: Answer = msgspec.to_builtins(answer)
        return plain

    def _reach(self, name: str, fault: Fault | None) -> None:
        """Gets to the service, unless something is in the way."""
        if fault is Fault.UNREACHED:
            self._suffer(name, fault)
        if self._sqs.down:
            self._process.troubled = self._process.excused = True
        if self._sqs.down or fault is Fault.UNREACHED:
            raise EndpointConnectionError(endpoint_url=_HOST)
        if fault is Fault.THROTTLED:
            self._suffer(name, fault)
            raise _refusal("RequestThrottled", name)

    def _suffer(self, name: str, fault: Fault) -> None:
        self._process.suffer(fault)
        # What this process holds may be shown to others if the service does not hear of it.
        self._process.excused |= name == HIDE

    def _work(self, operation: Operation, request: ask.Request) -> Answer:
        try:
            return operation.act(self._sqs.queues, request, _HOST)
        except SqsError as error:
            raise _refusal(error.query_code, type(request).__name__) from None

    def _spoiled(
        self, work: Callable[[Any], Answer], name: str, fault: Fault | None
    ) -> Callable[[Any], Answer]:
        if fault is None or fault not in SPOILS:
            return work

        def count() -> None:
            if name == RECEIVE or fault is Fault.UNDELETED:
                self._sqs.faults.strike(fault)
            elif name == DELETE and fault is not Fault.FOR_GOOD:
                self._process.endure(fault)
            else:
                self._suffer(name, fault)

        rng = self._sqs.faults.rng
        return Spoiler(self._sqs.queues, work, rng=rng, count=count).wrap(SPOILS[fault])

    def _receive(
        self, request: ask.ReceiveMessage, work: Callable[[Any], Answer], fault: Fault | None
    ) -> Answer:
        """Polls, for as long as the request says."""
        if fault is Fault.EMPTY:
            self._sqs.faults.strike(fault)
            return {}
        answer = work(request)
        if not answer.get("Messages"):
            self._sqs.clock.advance(request.wait_time_seconds or 0)
            self._process.must_live()
            answer = work(request)
        return answer

    def _tell(self, request: ask.Request) -> None:
        if isinstance(request, ask.DeleteMessageBatch):
            name = name_of(request.queue_url)
            for entry in request.entries:
                message = self._sqs.queues.deletable(name, entry.receipt_handle)
                if message is not None:
                    self._sqs.witness(name, message)

    def _note(self, answer: Answer, fault: Fault | None) -> None:
        messages = cast("list[dict[str, str]]", answer.get("Messages", []))
        self.bodies |= {each["Body"] for each in messages}
        if fault is not Fault.EARLY:
            self.received |= {each["ReceiptHandle"]: each["MessageId"] for each in messages}


def _refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, operation)
