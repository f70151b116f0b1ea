"""The log-ins of a custodian and of the owner: given with a warehouse, and shown nowhere."""

import pytest

from pipeline.errors import SettingsError
from pipeline.resources.outside import Outside
from pipeline.resources.settings import read_settings, without_services
from pipeline_tests.samples import CANARY

LOADER = "postgresql://loader@db/warehouse"
CUSTODIAN = f"postgresql://eve:{CANARY}@db/warehouse"
OWNER = f"postgresql://owner:{CANARY}@db/warehouse"
WHOLE = {
    "AWS_REGION": "eu-central-1",
    "PIPELINE_KEYRING": "/nowhere/keyring.json",
    "PIPELINE_POSTGRES_URL": LOADER,
}
OTHERS = {"PIPELINE_CUSTODIAN_URL": CUSTODIAN, "PIPELINE_OWNER_URL": OWNER}


@pytest.mark.parametrize("name", OTHERS)
def test_without_a_warehouse_they_are_refused_and_not_shown(name: str) -> None:
    """Else a custodian would look people up in the embedded database, and find nobody."""
    with pytest.raises(
        SettingsError, match=f"{name} given, but not PIPELINE_POSTGRES_URL"
    ) as caught:
        read_settings({name: OTHERS[name]})
    assert CANARY not in str(caught.value)


def test_each_has_a_log_in_of_its_own() -> None:
    outside = Outside.of(WHOLE | OTHERS)
    assert (outside.postgres_url, outside.custodian_url(), outside.owner_url()) == (
        LOADER,
        CUSTODIAN,
        OWNER,
    )
    assert CANARY not in repr(outside) + repr(read_settings(WHOLE | OTHERS))


def test_without_them_nobody_unmasks_and_the_loader_is_the_owner() -> None:
    outside = Outside.of(WHOLE)
    assert outside.owner_url() == LOADER
    with pytest.raises(SettingsError, match="PIPELINE_CUSTODIAN_URL is not given"):
        outside.custodian_url()


def test_the_demo_does_not_take_them_over() -> None:
    assert without_services(WHOLE | OTHERS) == {}
