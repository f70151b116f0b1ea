"""Where the exporter looks: SQS and the warehouse, with a log-in that may read counts alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from pipeline.errors import SettingsError
from pipeline.local.services import ensure_running, local_folder
from pipeline.resources.settings import MONITOR_URL, POSTGRES_URL, read_producer_settings
from pipeline.resources.sqs_client import Endpoint

# The embedded server has one log-in, which may take any role.
_AS_MONITOR: Final = "options=-c%20role%3Dmonitor"


@dataclass(frozen=True, slots=True)
class Place:
    """The outside world of an exporter: it knows no keyring.

    Attributes:
        endpoint: SQS.
        postgres_url: The warehouse.
    """

    endpoint: Endpoint
    postgres_url: str = field(repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """What an environment leads to; starts the embedded services where it names nothing.

        Raises:
            SettingsError: The environment names one half of a configuration only.
            LocalServiceError: The embedded services do not start.
        """
        url = environment.get(MONITOR_URL) or environment.get(POSTGRES_URL)
        settings = read_producer_settings(environment)
        if settings is None:
            if url:
                raise SettingsError(
                    f"{MONITOR_URL} given, but no AWS settings",
                    remedy="Set AWS_REGION and credentials (or AWS_ENDPOINT_URL_SQS), "
                    f"or unset {MONITOR_URL} to look at the embedded services",
                )
            services = ensure_running(local_folder())
            endpoint = Endpoint(services.sqs_endpoint, embedded=True)
            return cls(endpoint, f"{services.postgres_url}?{_AS_MONITOR}")
        if not url:
            raise SettingsError(
                f"AWS settings given, but neither {MONITOR_URL} nor {POSTGRES_URL}",
                remedy=f"Set {MONITOR_URL} to the warehouse's URL with a log-in that is a member"
                " of monitor",
            )
        return cls(Endpoint(settings.sqs_url, region=settings.region), url)
