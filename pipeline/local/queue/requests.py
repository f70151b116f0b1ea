"""The requests of the SQS protocol that the embedded queue understands, as typed structures."""

import msgspec

from pipeline.local.queue.messages import Attribute


class Request(msgspec.Struct, frozen=True, rename="pascal"):
    """A call's body; a field's name on the wire is SQS's name for it."""


class OnQueue(Request, frozen=True):
    """A call on one queue, which needs no more than its URL."""

    queue_url: str


class CreateQueue(Request, frozen=True):
    """Make a queue."""

    queue_name: str
    attributes: dict[str, str] = {}
    tags: dict[str, str] = msgspec.field(default_factory=dict, name="tags")


class GetQueueUrl(Request, frozen=True):
    """Find a queue by name."""

    queue_name: str


class ListQueues(Request, frozen=True):
    """List queues by the start of their name."""

    queue_name_prefix: str = ""
    max_results: int | None = None
    next_token: str = ""


class ListDeadLetterSourceQueues(OnQueue, frozen=True):
    """List the queues whose dead letters come here."""

    max_results: int | None = None
    next_token: str = ""


class GetQueueAttributes(OnQueue, frozen=True):
    """Read attributes by name."""

    attribute_names: list[str] = []


class SetQueueAttributes(OnQueue, frozen=True):
    """Replace attributes."""

    attributes: dict[str, str]


class TagQueue(OnQueue, frozen=True):
    """Add or replace tags."""

    tags: dict[str, str]


class UntagQueue(OnQueue, frozen=True):
    """Remove tags."""

    tag_keys: list[str]


class Draft(Request, frozen=True):
    """A message as its producer gives it."""

    message_body: str
    delay_seconds: int | None = None
    message_attributes: dict[str, Attribute] = {}
    message_system_attributes: dict[str, Attribute] = {}


class SendMessage(Draft, frozen=True, kw_only=True):
    """Send one message."""

    queue_url: str


class SendEntry(Draft, frozen=True, kw_only=True):
    """One message of a batch."""

    id: str


class SendMessageBatch(OnQueue, frozen=True):
    """Send up to ten messages."""

    entries: list[SendEntry]


class ReceiveMessage(OnQueue, frozen=True):
    """Receive up to ten messages, waiting for the first."""

    max_number_of_messages: int = 1
    visibility_timeout: int | None = None
    wait_time_seconds: int | None = None
    attribute_names: list[str] = []
    message_system_attribute_names: list[str] = []
    message_attribute_names: list[str] = []


class DeleteMessage(OnQueue, frozen=True):
    """Acknowledge one message."""

    receipt_handle: str


class DeleteEntry(Request, frozen=True):
    """One acknowledgement of a batch."""

    id: str
    receipt_handle: str


class DeleteMessageBatch(OnQueue, frozen=True):
    """Acknowledge up to ten messages."""

    entries: list[DeleteEntry]


class ChangeMessageVisibility(OnQueue, frozen=True):
    """Extend or end the time that a message in flight is hidden."""

    receipt_handle: str
    visibility_timeout: int


class ChangeEntry(Request, frozen=True):
    """One such change of a batch."""

    id: str
    receipt_handle: str
    visibility_timeout: int


class StartMessageMoveTask(Request, frozen=True):
    """Move the messages of a dead-letter queue."""

    source_arn: str
    destination_arn: str = ""
    max_number_of_messages_per_second: int | None = None


class ListMessageMoveTasks(Request, frozen=True):
    """List the latest moves out of a queue."""

    source_arn: str
    max_results: int = 1


class CancelMessageMoveTask(Request, frozen=True):
    """Stop a move."""

    task_handle: str


class ChangeMessageVisibilityBatch(OnQueue, frozen=True):
    """Change up to ten messages."""

    entries: list[ChangeEntry]
