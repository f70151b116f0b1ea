"""What the embedded queue answers when it refuses a call, in SQS's own words and codes."""

from typing import Final

# An older protocol named these differently, and clients still see the older name.
# Source: the awsQueryError traits of the SQS model.
_QUERY_CODES: Final = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "InvalidParameterValueException": "InvalidParameterValue",
    "MissingParameterException": "MissingParameter",
    **{
        code: f"AWS.SimpleQueueService.{code}"
        for code in (
            "BatchEntryIdsNotDistinct",
            "BatchRequestTooLong",
            "EmptyBatchRequest",
            "InvalidBatchEntryId",
            "MessageNotInflight",
            "PurgeQueueInProgress",
            "QueueDeletedRecently",
            "TooManyEntriesInBatchRequest",
            "UnsupportedOperation",
        )
    },
}


class SqsError(Exception):
    """An answer of the protocol, not a failure of this project: the server turns it into a reply.

    It stands outside the tree of `pipeline.errors` because its text goes to an SQS client, which
    expects the wording and the codes of the real service.

    Args:
        code: The error's shape in the SQS model, such as `QueueDoesNotExist`.
        message: What the client's user reads. Never a message's body.
        status: Of HTTP; from 500 on the fault is the service's.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        self.code = code
        self.message = message
        self.status = status
        super().__init__(f"{code}: {message}")

    @property
    def query_code(self) -> str:
        """The code that boto3 shows, and that a batch's `Failed` entries carry."""
        return _QUERY_CODES.get(self.code, self.code)


def queue_does_not_exist() -> SqsError:
    """The refusal of every call that names an unknown queue."""
    return SqsError("QueueDoesNotExist", "The specified queue does not exist.")


def resource_not_found(parameter: str) -> SqsError:
    """The refusal of a resource name that no queue has."""
    return SqsError(
        "ResourceNotFoundException",
        f"The resource that you specified for the {parameter} parameter doesn't exist.",
        status=404,
    )


def queue_name_exists() -> SqsError:
    """The refusal to make a queue that exists otherwise."""
    return SqsError(
        "QueueNameExists",
        "A queue already exists with the same name and a different value for an attribute.",
    )


def queue_deleted_recently(seconds: int) -> SqsError:
    """The refusal to make a queue again so soon after it was deleted."""
    return SqsError(
        "QueueDeletedRecently",
        f"You must wait {seconds} seconds after deleting a queue before you can create another "
        "with the same name.",
    )


def invalid_parameter(message: str) -> SqsError:
    """The refusal of a parameter outside its limits."""
    return SqsError("InvalidParameterValueException", message)


def refused_value(name: str, reason: str) -> SqsError:
    """The refusal of a parameter's value, which is not repeated."""
    return invalid_parameter(f"Value for parameter {name} is invalid. Reason: {reason}")


def missing_parameter(name: str) -> SqsError:
    """The refusal of a call that leaves out what it must say."""
    return SqsError("MissingParameterException", f"The request must contain the parameter {name}.")


def out_of_range(name: str, value: int, *, least: int, most: int) -> SqsError:
    """The refusal of a number outside `least` to `most`."""
    return invalid_parameter(
        f"Value {value} for parameter {name} is invalid. "
        f"Reason: Must be between {least} and {most}, if provided."
    )
