"""Logins to the app: where, on what, and with which version people sign in."""

from pipeline.contract import SENT_AT, Feed, Field
from pipeline.masking.policies import Encrypt, Keep
from pipeline.types import Date, IpAddress, Text, Version

FEED = Feed(
    name="user_logins",
    description="One row for each login to the app; address and device are pseudonymised.",
    queue="login-queue",
    table="user_logins",
    fields=(
        Field(
            "user_id",
            Text(128, shape="xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx"),
            Keep(reason="a random account id: analysts join on it, and it names nobody by itself"),
            personal=True,
            description="The account that logged in.",
        ),
        Field(
            "device_type",
            Text(32, samples=("android", "ios")),
            Keep(),
            description="The kind of device.",
        ),
        Field(
            "ip",
            IpAddress(),
            Encrypt(),
            column="masked_ip",
            personal=True,
            description="The address that the login came from.",
        ),
        Field(
            "device_id",
            Text(64, max_bytes=128, shape="999-99-9999"),
            Encrypt(),
            column="masked_device_id",
            personal=True,
            description="The device that was used.",
        ),
        Field(
            "locale",
            Text(32, samples=("BR", "CN", "DE", "FR", "ID", "KE", "PH", "PT", "RU", "US")),
            Keep(),
            nullable=True,
            description="The country that the app was set to, if any.",
        ),
        Field(
            "app_version",
            Version(),
            Keep(),
            description="major * 10000 + minor * 100 + patch: comparing numbers compares versions.",
        ),
        Field(
            SENT_AT,
            Date(),
            Keep(),
            column="create_date",
            description="The day (UTC) on which the queue took the event.",
        ),
    ),
)
