"""The environment names all of a configuration or none of it; half of one is an error."""

from typing import Final

import pytest

from pipeline.errors import SettingsError
from pipeline.resources.settings import read_settings, without_services

URL: Final = "postgresql://user:hunter2@db.example.org/warehouse"
WHOLE: Final = {"PIPELINE_POSTGRES_URL": URL, "AWS_REGION": "eu-central-1"}
AWS_SETTINGS: Final = [
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
]
PAIR: Final = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


def is_embedded(environment: dict[str, str]) -> bool:
    """Whether an environment leads to the embedded services and their key file."""
    settings = read_settings(environment)
    return settings.postgres_url is None and settings.keyring is None


def test_nothing_set_means_the_embedded_services() -> None:
    assert is_embedded({"HOME": "/root", "AWS_PAGER": ""})


def test_an_empty_setting_counts_as_none() -> None:
    assert is_embedded({"PIPELINE_POSTGRES_URL": "", "AWS_REGION": ""})


@pytest.mark.parametrize("name", AWS_SETTINGS)
def test_a_url_and_any_setting_of_aws_are_a_configuration(name: str) -> None:
    assert read_settings({"PIPELINE_POSTGRES_URL": URL, name: "x"}).postgres_url == URL


@pytest.mark.parametrize("name", [*AWS_SETTINGS, *PAIR])
def test_aws_without_a_warehouse_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}.* given, but not PIPELINE_POSTGRES_URL"):
        read_settings({name: "x"})


def test_a_warehouse_without_aws_is_refused_and_its_password_not_shown() -> None:
    with pytest.raises(SettingsError, match="but no AWS settings") as caught:
        read_settings({"PIPELINE_POSTGRES_URL": URL})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("missing", PAIR)
def test_half_a_pair_of_credentials_is_refused(missing: str) -> None:
    given = {name: value for name, value in PAIR.items() if name != missing}
    with pytest.raises(SettingsError, match=f"given, but not {missing}") as caught:
        read_settings(WHOLE | given)
    assert f"Set {missing}" in str(caught.value)


def test_a_pair_of_credentials_is_taken() -> None:
    assert read_settings({"PIPELINE_POSTGRES_URL": URL} | PAIR).postgres_url == URL


def test_endpoint_and_region_are_told_where_they_are_given() -> None:
    given = {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1"}
    settings = read_settings({"PIPELINE_POSTGRES_URL": URL} | given)
    assert (settings.sqs_url, settings.region) == ("http://127.0.0.1:1", "eu-west-1")
    assert "hunter2" not in repr(settings)
    left_to_boto3 = read_settings({"PIPELINE_POSTGRES_URL": URL, "AWS_PROFILE": "x"})
    assert (left_to_boto3.sqs_url, left_to_boto3.region) == (None, None)


@pytest.mark.parametrize(("given", "lean"), [("", True), ("lean", True), ("boto3", False)])
@pytest.mark.parametrize("others", [{}, WHOLE], ids=["embedded", "whole"])
def test_the_lean_transport_is_used_unless_boto3_is_asked_for(
    others: dict[str, str], given: str, *, lean: bool
) -> None:
    assert read_settings(others | {"PIPELINE_SQS_TRANSPORT": given}).lean is lean


def test_a_transport_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="PIPELINE_SQS_TRANSPORT names no transport"):
        read_settings({"PIPELINE_SQS_TRANSPORT": "http"})


def test_a_keyring_may_be_named_with_either_kind_of_services() -> None:
    assert read_settings({"PIPELINE_KEYRING": "/keys/k.json"}).keyring == "/keys/k.json"
    keys = {"PIPELINE_KEYRING": "ssm:/keys", "PIPELINE_KEYRING_KMS_KEY": "alias/keys"}
    named = read_settings(WHOLE | keys)
    assert (named.keyring, named.keyring_kms_key) == ("ssm:/keys", "alias/keys")


def test_without_services_leaves_the_embedded_ones_and_everything_else() -> None:
    keys = {"PIPELINE_KEYRING": "k", "PIPELINE_KEYRING_KMS_KEY": "k"}
    everything = WHOLE | PAIR | dict.fromkeys(AWS_SETTINGS, "x")
    left = without_services(everything | keys | {"HOME": "/root"})
    assert left == {"HOME": "/root"}
    assert is_embedded(left)
