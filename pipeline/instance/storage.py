"""Dagster's own tables, by the one driver that dagster-postgres is written for."""

from typing import Final

from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

_BARE: Final = ("postgresql://", "postgres://")
_DRIVER: Final = "postgresql+psycopg2://"


class Psycopg2Storage(DagsterPostgresStorage):
    """Dagster's storage, whose URL is written as everybody writes it and read as it must be.

    SQLAlchemy 2.1 takes a bare `postgresql://` for psycopg 3, with which Dagster's first run ends
    (https://github.com/dagster-io/dagster/issues/33958). setup.py keeps SQLAlchemy below 2.1 all
    the same: Dagster's chart, and a dagster.yaml of one's own, write bare URLs.
    """

    @classmethod
    def from_config_value(  # type: ignore[override] # as the class above has it
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> DagsterPostgresStorage:
        """Made as Dagster makes what dagster.yaml names."""
        url = config_value.get("postgres_url") or ""
        for bare in _BARE:
            if url.startswith(bare):
                config_value = {**config_value, "postgres_url": _DRIVER + url.removeprefix(bare)}
        return super().from_config_value(inst_data, config_value)
