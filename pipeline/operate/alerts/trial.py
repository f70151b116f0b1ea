"""Tries a channel with an alert that is none."""

import time

from pipeline.operate.alerts.alert import Alert, Standing
from pipeline.operate.alerts.channels import Channel


def try_channel(channel: Channel) -> None:
    """Sends a channel a test alert.

    Raises:
        AlertError: It was not taken.
    """
    alert = Alert(
        code="E_TEST",
        feed=None,
        place="pipeline alert --test",
        what="this is a test: nothing has failed",
        remedy="Nothing",
        at=time.time(),
        standing=Standing.TEST,
    )
    channel.deliver(alert, None)
