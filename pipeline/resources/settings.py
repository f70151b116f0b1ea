"""The environment settings, read and held against each other.

Nothing set: the embedded services. AWS settings and a Postgres URL: those. Half of it: an error,
because a production queue drained into an embedded database, or generated events in a
production one, is what nobody wants: docs/decisions/0007-settings-whole-or-not-at-all.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.errors import SettingsError

POSTGRES_URL = "PIPELINE_POSTGRES_URL"
CUSTODIAN_URL = "PIPELINE_CUSTODIAN_URL"
OWNER_URL = "PIPELINE_OWNER_URL"
MONITOR_URL = "PIPELINE_MONITOR_URL"
KEYRING = "PIPELINE_KEYRING"
KEYRING_KMS_KEY = "PIPELINE_KEYRING_KMS_KEY"
ENVIRONMENT = "PIPELINE_ENVIRONMENT"
TRANSPORT = "PIPELINE_SQS_TRANSPORT"
_AWS = (
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    Attributes:
        postgres_url: The warehouse; None for the embedded services. It decides for the queue
            too: SQS as boto3 finds it, or the embedded one.
        sqs_url: AWS_ENDPOINT_URL_SQS; None to leave it to boto3.
        region: AWS_REGION, which boto3 does not read; None to leave it to boto3.
        keyring: Where the keys are kept: a path, or a place of AWS as `key_store` reads it; None
            for the file in the local folder.
        keyring_kms_key: The KMS key that a new keyring is wrapped with; None to leave it open in
            a file.
        custodian_url: The warehouse, with the log-in of somebody who unmasks and forgets.
        owner_url: The warehouse, with the log-in that owns the tables; None for `postgres_url`.
        environment: What the queues' tag `environment` is to say; None where nothing is said.
        lean: Whether runs receive and acknowledge over the lean transport, not over boto3.
    """

    postgres_url: str | None = field(repr=False)
    sqs_url: str | None
    region: str | None
    keyring: str | None
    keyring_kms_key: str | None
    custodian_url: str | None = field(repr=False)
    owner_url: str | None = field(repr=False)
    environment: str | None
    lean: bool


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment.

    Raises:
        SettingsError: It names one half of a configuration only, or a transport that is none.
    """
    aws = [name for name in _AWS if environment.get(name)]
    url = environment.get(POSTGRES_URL) or None
    if aws and not url:
        raise SettingsError(
            f"{', '.join(aws)} given, but not {POSTGRES_URL}",
            remedy=f"Set {POSTGRES_URL}, or unset the AWS settings to use the embedded services",
        )
    _check_halves(environment, aws)
    return Settings(
        postgres_url=url,
        sqs_url=environment.get("AWS_ENDPOINT_URL_SQS") or None,
        region=environment.get("AWS_REGION") or None,
        keyring=environment.get(KEYRING) or None,
        keyring_kms_key=environment.get(KEYRING_KMS_KEY) or None,
        custodian_url=environment.get(CUSTODIAN_URL) or None,
        owner_url=environment.get(OWNER_URL) or None,
        environment=environment.get(ENVIRONMENT) or None,
        lean=_is_lean(environment),
    )


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What the environment says to a process that only sends.

    Attributes:
        sqs_url: AWS_ENDPOINT_URL_SQS; None to leave it to boto3.
        region: AWS_REGION, which boto3 does not read; None to leave it to boto3.
        postgres_url: Postgres, for whoever keeps something there; None where none is named.
    """

    sqs_url: str | None
    region: str | None
    postgres_url: str | None = field(repr=False)


def read_producer_settings(environment: Mapping[str, str]) -> ProducerSettings | None:
    """The settings of a process that only sends: it needs no warehouse, and never a keyring.

    Returns:
        None where the environment names nothing: then the embedded services are meant.

    Raises:
        SettingsError: It names one half of a configuration only.
    """
    aws = [name for name in _AWS if environment.get(name)]
    _check_halves(environment, aws)
    if not aws:
        return None
    return ProducerSettings(
        sqs_url=environment.get("AWS_ENDPOINT_URL_SQS") or None,
        region=environment.get("AWS_REGION") or None,
        postgres_url=environment.get(POSTGRES_URL) or None,
    )


def _is_lean(environment: Mapping[str, str]) -> bool:
    transport = environment.get(TRANSPORT) or "lean"
    if transport not in {"lean", "boto3"}:
        raise SettingsError(
            f"{TRANSPORT} names no transport", remedy="Set it to lean or boto3, or unset it"
        )
    return transport == "lean"


def _check_halves(environment: Mapping[str, str], aws: Sequence[str]) -> None:
    if environment.get(POSTGRES_URL) and not aws:
        raise SettingsError(
            f"{POSTGRES_URL} given, but no AWS settings",
            remedy="Set AWS_REGION and credentials (or AWS_ENDPOINT_URL_SQS), "
            f"or unset {POSTGRES_URL} to use the embedded services",
        )
    for one, other in (
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        (CUSTODIAN_URL, POSTGRES_URL),
        (OWNER_URL, POSTGRES_URL),
    ):
        if environment.get(one) and not environment.get(other):
            raise SettingsError(f"{one} given, but not {other}", remedy=f"Set {other} as well")


def without_services(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the settings that would choose other than embedded services."""
    ours = {POSTGRES_URL, CUSTODIAN_URL, OWNER_URL, MONITOR_URL, KEYRING, KEYRING_KMS_KEY}
    return {
        name: value for name, value in environment.items() if name not in _AWS and name not in ours
    }
