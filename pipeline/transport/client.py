"""SQS's three hot calls, as boto3's client has them, at a fraction of its cost.

botocore goes on finding credentials, region and endpoint, decides what is tried again and after
which pause, and reads every answer but the plain one; only the way of a call that goes well is our
own.
"""

import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypedDict, TypeVar, Unpack, cast
from urllib.parse import urlsplit

import msgspec
from botocore.exceptions import NoCredentialsError
from botocore.hooks import first_non_none_response
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError, create_parser
from botocore.retries.quota import RetryQuota
from botocore.utils import get_environ_proxies

from pipeline.transport.signature import Signer
from pipeline.transport.wire import FAILURES, Answer, Failure, Multi, Patience, Wire

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.exceptions import ClientError
    from botocore.model import Shape
    from botocore.session import Session
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestTypeDef,
        ChangeMessageVisibilityBatchResultTypeDef,
        DeleteMessageBatchRequestTypeDef,
        DeleteMessageBatchResultTypeDef,
        ReceiveMessageRequestTypeDef,
        ReceiveMessageResultTypeDef,
    )

_OK: Final = 200
# What botocore's budget for retries holds, of which each call that goes well gives one back.
_BUDGET: Final = RetryQuota.INITIAL_CAPACITY
_NO_SUCCESS: Final = 300
_UNSIGNED: Final = ("user-agent", "sqs-postgres-pipeline")
_HEADERS: Final = {
    "content-type": "application/x-amz-json-1.0",
    # SQS is to tell its errors by the codes that it had before it spoke JSON.
    "x-amzn-query-mode": "true",
}


class _Attribute(TypedDict, total=False):
    """A message attribute of an answer; msgspec takes base64 for the bytes."""

    DataType: str
    StringValue: str
    BinaryValue: bytes


class _Message(TypedDict, total=False):
    """A message of an answer."""

    MessageId: str
    ReceiptHandle: str
    MD5OfBody: str
    Body: str
    Attributes: dict[str, str]
    MD5OfMessageAttributes: str
    MessageAttributes: dict[str, _Attribute]


class _Received(TypedDict, total=False):
    """The answer of `ReceiveMessage`."""

    Messages: list[_Message]


class _Done(TypedDict):
    """An entry of a batch that was done."""

    Id: str


class _NotDone(TypedDict, total=False):
    """An entry of a batch that was not done."""

    Id: str
    SenderFault: bool
    Code: str
    Message: str


class _Batch(TypedDict, total=False):
    """The answer of a batch call."""

    Successful: list[_Done]
    Failed: list[_NotDone]


_Plain = TypeVar("_Plain", _Received, _Batch)


class Operation(Generic[_Plain]):
    """One of SQS's operations: its name, and how its plain answer is read."""

    def __init__(self, name: str, answer: type[_Plain]) -> None:
        self.name = name
        self.headers = {**_HEADERS, "x-amz-target": f"AmazonSQS.{name}"}
        self._decoder: msgspec.json.Decoder[_Plain] = msgspec.json.Decoder(answer)

    def read(self, body: bytes) -> _Plain | None:
        """A plain answer; None where it is anything else than SQS's documents say."""
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None


RECEIVE: Final = Operation("ReceiveMessage", _Received)
DELETE: Final = Operation("DeleteMessageBatch", _Batch)
HIDE: Final = Operation("ChangeMessageVisibilityBatch", _Batch)


class LeanClient:
    """The hot calls of a boto3 client, which may be used in its place by several threads.

    Its answers lack `ResponseMetadata`, and members that SQS's documents do not name. Handlers of
    the client's events that are called before a request is sent are not called.

    Args:
        client: The client that it stands in for: its retries and its reading of errors are used.
        credentials: Those of the client.
        signer: Signs for the client's endpoint and region.
        wire: Leads to the client's endpoint.

    Attributes:
        url: Where it calls.

    Raises:
        BotoCoreError: From every method, as boto3's client does.
        ClientError: Likewise.
    """

    def __init__(
        self, client: "SQSClient", credentials: "Credentials", signer: Signer, wire: Wire
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._signer = signer
        self._wire = wire
        self._owed = 0  # calls that go well, of which botocore is yet to be told
        self.url = wire.url

    @classmethod
    def beside(cls, client: "SQSClient", session: "Session", patience: Patience) -> Self:
        """The hot calls of a client that a session has made.

        Args:
            client: The client.
            session: The session, which knows credentials, proxies and authorities.
            patience: How long to wait.

        Raises:
            NoCredentialsError: The session has none.
        """
        url = client.meta.endpoint_url
        url = url if urlsplit(url).path else f"{url}/"
        proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
        authorities = session.get_config_variable("ca_bundle") or get_cert_path(True)  # noqa: FBT003 - botocore's
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        wire = Wire(url, patience, str(authorities), proxy)
        return cls(client, credentials, Signer(url, client.meta.region_name, "sqs"), wire)

    def receive_message(
        self, **request: Unpack["ReceiveMessageRequestTypeDef"]
    ) -> "ReceiveMessageResultTypeDef":
        """Receives up to ten messages."""
        return cast("ReceiveMessageResultTypeDef", self._make(RECEIVE, request))

    def delete_message_batch(
        self, **request: Unpack["DeleteMessageBatchRequestTypeDef"]
    ) -> "DeleteMessageBatchResultTypeDef":
        """Deletes up to ten messages."""
        return cast("DeleteMessageBatchResultTypeDef", self._make(DELETE, request))

    def change_message_visibility_batch(
        self, **request: Unpack["ChangeMessageVisibilityBatchRequestTypeDef"]
    ) -> "ChangeMessageVisibilityBatchResultTypeDef":
        """Sets the visibility timeout of up to ten messages."""
        return cast("ChangeMessageVisibilityBatchResultTypeDef", self._make(HIDE, request))

    def _make(
        self, operation: Operation[_Plain], request: Mapping[str, object]
    ) -> _Plain | dict[str, Any]:
        return self.finish(operation, msgspec.json.encode(request))

    def finish(
        self,
        operation: Operation[_Plain],
        body: bytes,
        ended: Answer | Failure | None = None,
    ) -> _Plain | dict[str, Any]:
        """Makes a call with all its attempts.

        Args:
            operation: Which.
            body: What is sent.
            ended: What has come of the first attempt, where it has been made.
        """
        call: _Call | None = None
        while True:
            ended = self._attempt(operation, body) if ended is None else ended
            if (plain := self.plain(operation, ended, call)) is not None:
                return plain
            call = call or self._in_trouble(operation.name)
            parsed = call.parse(ended) if isinstance(ended, Answer) else None
            if not call.goes_on_after(ended, parsed):
                if parsed is None:
                    raise cast("Failure", ended)
                call.end(cast("Answer", ended), parsed)
                return parsed
            ended = None

    def plain(
        self,
        operation: Operation[_Plain],
        ended: Answer | Failure,
        call: "_Call | None" = None,
    ) -> _Plain | None:
        """The plain answer of an attempt, of a call that may have met trouble before."""
        if not isinstance(ended, Answer) or ended.status_code != _OK:
            return None
        plain = operation.read(ended.body)
        if plain is not None and self._owed:
            self._owed -= 1
            (call or _Call(self._client, operation.name)).end(ended, {})
        return plain

    def headers(self, operation: Operation[_Plain], body: bytes) -> list[tuple[str, str]]:
        """The headers of a request that is sent now."""
        credentials = self._credentials.get_frozen_credentials()
        signed: dict[str, str] = self._signer.sign(
            operation.headers, body, credentials, time.time()
        )
        return [*signed.items(), _UNSIGNED]

    def _attempt(self, operation: Operation[_Plain], body: bytes) -> Answer | Failure:
        try:
            return self._wire.post(self.headers(operation, body), body)
        except FAILURES as failure:
            return failure

    def _in_trouble(self, operation: str) -> "_Call":
        """A call of which botocore is told; from here on its budget may be less than full."""
        self._owed = _BUDGET
        return _Call(self._client, operation)

    def take_multi(self) -> Multi:
        """Exchanges with the address, over the connections of those before."""
        with contextlib.suppress(IndexError):  # another thread may take the last one
            return self._wire.multis.pop()
        return Multi(self._wire)

    def give_back(self, multi: Multi) -> None:
        """Takes one back in which nothing is under way."""
        self._wire.multis.append(multi)


class _Call:
    """A call with all its attempts, of which botocore is told as of one of its own.

    It is told by events of the client: `needs-retry`, which its retry mode answers, and
    `after-call`, at which it counts what retries have cost and finds the error's code. To tell it
    costs more than the call: of one that went well it hears only while its budget is not full.
    """

    def __init__(self, client: "SQSClient", operation: str) -> None:
        self._client = client
        self._model = client.meta.service_model.operation_model(operation)
        self._shape = cast("Shape", self._model.output_shape)  # each of the hot calls has one
        # What botocore keeps of a call from one attempt to the next.
        self._context: dict[str, Any] = {}
        self._attempts = 0

    def parse(self, answer: Answer) -> dict[str, Any]:
        """An answer, as botocore reads it.

        Raises:
            ResponseParserError: It cannot.
        """
        content = {
            "status_code": answer.status_code,
            "headers": answer.headers,
            "body": answer.body,
        }
        parser = create_parser(self._client.meta.service_model.resolved_protocol)
        try:
            parsed: dict[str, Any] = parser.parse(content, self._shape)
        except Exception as error:  # noqa: BLE001 - JSON that is no object ends in an AttributeError
            raise ResponseParserError(f"{type(error).__name__} in the answer of SQS") from None
        parsed["ResponseMetadata"]["RetryAttempts"] = self._attempts
        return parsed

    def goes_on_after(self, ended: Answer | Failure, parsed: dict[str, Any] | None = None) -> bool:
        """Whether there is to be another attempt; the pause before it is over then."""
        self._attempts += 1
        responses = self._client.meta.events.emit(
            f"needs-retry.sqs.{self._model.name}",
            response=(ended, parsed) if isinstance(ended, Answer) else None,
            operation=self._model,
            attempts=self._attempts,
            caught_exception=None if isinstance(ended, Answer) else ended,
            request_dict={"context": self._context},
        )
        pause = first_non_none_response(responses)
        # False: the retries have used up what they may cost, and botocore has made its pause.
        if pause is None or pause is False:
            return False
        time.sleep(pause)
        return True

    def end(self, answer: Answer, parsed: dict[str, Any]) -> None:
        """Takes note of the last answer.

        Raises:
            ClientError: It is an error.
        """
        self._client.meta.events.emit(
            f"after-call.sqs.{self._model.name}",
            http_response=answer,
            parsed=parsed,
            model=self._model,
            context=self._context,
        )
        if answer.status_code >= _NO_SUCCESS:
            code = self._context.get("error_code_override") or parsed.get("Error", {}).get("Code")
            error = cast("type[ClientError]", self._client.exceptions.from_code(code))
            raise error(cast("Any", parsed), self._model.name)
