"""AWS for the keyring: waits within bounds, logs no answer, and turns refusals into errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import KeyringError

CONFIG: Final = Config(
    connect_timeout=2,
    read_timeout=5,
    # As KMS names its throttling, "standard" mode retries it; as SQS does (KmsThrottled), none.
    retries={"mode": "standard", "total_max_attempts": 3},
)

_DENIED: Final = {"AccessDenied", "AccessDeniedException"}
_CREDENTIALS: Final = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_FOREIGN: Final = (
    "It was wrapped under another KMS key or for another version, or was changed:"
    " restore it from its backup"
)
# As the API references of KMS, Systems Manager and Secrets Manager list them.
_REMEDIES: Final = {
    "DependencyTimeoutException": "Try again",
    "DisabledException": "Enable the KMS key",
    "IncorrectKeyException": _FOREIGN,
    "InvalidCiphertextException": _FOREIGN,
    "InvalidKeyId": "Check that the KMS key of the SecureString exists and is enabled",
    "InvalidRequestException": "Restore it, if it is marked for deletion",
    "KMSInvalidStateException": "Check the KMS key: cancel its deletion, or enable it",
    "KMSInternalException": "Try again",
    "KeyUnavailableException": "Try again",
    "NotFoundException": "Check PIPELINE_KEYRING_KMS_KEY, AWS_REGION and that the KMS key exists",
    "ThrottlingException": "Try again",
}


class _NoBodies(logging.Filter):
    """Lets no debug record through: at that level botocore writes each answer's body, whole."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record may be seen."""
        return record.levelno > logging.DEBUG


_no_bodies: Final = _NoBodies()


def open_session(region: str | None) -> boto3.Session:
    """A session of the keyring's own; from here on no answer of AWS is logged in this process.

    By a filter and not by a level, which whoever turns debugging on would set again.

    Args:
        region: None for the one that boto3 finds by itself.

    Raises:
        KeyringError: AWS_PROFILE names none.
    """
    logging.getLogger("botocore.parsers").addFilter(_no_bodies)
    with translated("the keyring"):
        return boto3.Session(region_name=region)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns botocore's errors, whose texts may hold anything, into this project's.

    Args:
        what: What AWS is asked for, for the error's text.

    Raises:
        KeyringError: AWS refused, did not answer, or could not be asked.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise KeyringError(
            f"AWS refused {error.operation_name} for {what} ({code})",
            remedy=f"{_remedy(code, error.operation_name)}; nothing was received",
        ) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise KeyringError(
            f"AWS could not be asked for {what} ({type(error).__name__})",
            remedy="Check the network, AWS_REGION, the credentials and AWS_ENDPOINT_URL;"
            " nothing was received",
        ) from None


def _remedy(code: str, operation: str) -> str:
    if code in _DENIED:
        return f"Allow the role {operation}, in its policy and in that of the KMS key"
    if code in _CREDENTIALS:
        return "Renew or correct the credentials"
    return _REMEDIES.get(code, f"Look up {code} in the API reference of {operation}")
