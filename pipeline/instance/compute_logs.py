"""Where the output of runs is kept: in the bucket that the environment names, or nowhere."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData

BUCKET: Final = "PIPELINE_LOG_BUCKET"
KMS_KEY: Final = "PIPELINE_LOG_KMS_KEY"


class ChosenComputeLogManager(ComputeLogManager[Any], ConfigurableClass):
    """Stands in dagster.yaml for the one that is made in its place; never made itself."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What Dagster's S3 compute logs take, but for the bucket."""
        anything = dg.Permissive()  # type: ignore[no-untyped-call] # not annotated
        return {"s3": dg.Field(anything, is_required=False)}

    @classmethod
    def from_config_value(  # type: ignore[override] # another one, as it says
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> ComputeLogManager[Any]:
        """Keeps output in S3 where there is a bucket for it.

        Without one, output goes where the process's own goes, as to the log of its container: a
        file here would be lost with it, and the web server could not read it.
        """
        del inst_data  # the chosen one has its own
        bucket = os.environ.get(BUCKET)
        if not bucket:
            return _made("dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager")
        staging = Path(tempfile.gettempdir(), "dagster-compute-logs")
        config = {"local_dir": str(staging), **config_value.get("s3", {}), "bucket": bucket}
        if key := os.environ.get(KMS_KEY):
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
            config["upload_extra_args"] = {**config.get("upload_extra_args", {}), **encryption}
        return _made("dagster_aws.s3.compute_log_manager", "S3ComputeLogManager", config)


def _made(module: str, name: str, config: dict[str, Any] | None = None) -> ComputeLogManager[Any]:
    data = ConfigurableClassData(module, name, json.dumps(config or {}))  # JSON is YAML
    return data.rehydrate(ComputeLogManager)  # type: ignore[type-abstract] # one of its kind
