"""What Dagster's chart makes of the values that we set: a stand-in, where there is no helm.

Written after the chart's templates (`configmap-instance.yaml` and its helpers) and schema. It knows
the keys that `deploy/kubernetes/values.yaml` uses, and refuses all others, so that none is lost
without a word.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

NAMESPACE: Final = "pipeline"
_SECTIONS: Final = {
    "additionalInstanceConfig",
    "computeLogManager",
    "concurrency",
    "dagster-user-deployments",
    "dagsterDaemon",
    "dagsterWebserver",
    "generatePostgresqlPasswordSecret",
    "global",
    "postgresql",
    "pythonLogs",
    "retention",
    "runLauncher",
    "serviceAccount",
    "telemetry",
}
_LAUNCHER: Final = {
    "envConfigMaps",
    "envSecrets",
    "envVars",
    "imagePullPolicy",
    "loadInclusterConfig",
    "resources",
    "runK8sConfig",
    "securityContext",
    "volumeMounts",
    "volumes",
}
_CONTAINER: Final = {
    "env",
    "image",
    "podSecurityContext",
    "resources",
    "securityContext",
    "volumeMounts",
    "volumes",
}
KNOWN: Final[Mapping[str, set[str]]] = {
    "": _SECTIONS,
    "runLauncher.config.k8sRunLauncher": _LAUNCHER,
    "runLauncher.config.k8sRunLauncher.runK8sConfig": {"jobSpecConfig", "podSpecConfig"},
    "dagsterWebserver": _CONTAINER | {"readinessProbe", "service"},
    "dagsterDaemon": _CONTAINER
    | {"enabled", "runCoordinator", "runMonitoring", "runRetries", "sensors"},
    "dagsterDaemon.runMonitoring": {
        "cancelTimeoutSeconds",
        "enabled",
        "freeSlotsAfterRunEndSeconds",
        "maxResumeRunAttempts",
        "maxRuntimeSeconds",
        "pollIntervalSeconds",
        "startTimeoutSeconds",
    },
    "dagster-user-deployments": {
        "deployments",
        "enableSubchart",
        "enabled",
        "rbacEnabled",
        "serviceAccount",
    },
    "concurrency": {"enabled", "pools", "runs"},
    "concurrency.runs": {"maxConcurrentRuns", "tagConcurrencyLimits"},
    "concurrency.pools": {"defaultLimit", "granularity"},
    "global": {"dagsterHome", "postgresqlSecretName"},
}
"""Keys of the chart, by the place where they stand: those of them that we use."""

DEPLOYMENT: Final = _CONTAINER | {
    "dagsterApiGrpcArgs",
    "envSecrets",
    "includeConfigInLaunchedRuns",
    "name",
    "port",
}
"""Keys of a user code deployment."""


def at(values: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The part of the values at a place such as `dagsterDaemon.sensors`."""
    for key in filter(None, place.split(".")):
        values = values[key]
    return values


def instance_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The `dagster.yaml` that the daemon, the web server and all runs get."""
    daemon = values["dagsterDaemon"]
    monitoring, sensors = daemon["runMonitoring"], daemon["sensors"]
    retention = {key: value for key, value in values["retention"].items() if key != "enabled"}
    concurrency = {key: value for key, value in values["concurrency"].items() if key != "enabled"}
    return {
        **_storage(values["postgresql"]),
        "run_launcher": _launcher(values),
        "run_coordinator": daemon["runCoordinator"]["config"]["customRunCoordinator"],
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": values["computeLogManager"]["type"],
        },
        "python_logs": _snake(values["pythonLogs"]),
        "run_monitoring": _snake(monitoring),
        "sensors": _snake(sensors),
        "telemetry": values["telemetry"],
        "retention": _snake(retention),
        "concurrency": _snake(concurrency),
        **values["additionalInstanceConfig"],
    }


def _storage(postgres: Mapping[str, Any]) -> dict[str, Any]:
    config = {
        "postgres_db": {
            "username": postgres["postgresqlUsername"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": postgres["postgresqlHost"],
            "db_name": postgres["postgresqlDatabase"],
            "port": postgres["service"]["port"],
            "params": postgres["postgresqlParams"],
        }
    }
    classes = {
        "run_storage": ("dagster_postgres.run_storage", "PostgresRunStorage"),
        "event_log_storage": ("dagster_postgres.event_log", "PostgresEventLogStorage"),
        "schedule_storage": ("dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
    }
    return {
        key: {"module": module, "class": name, "config": config}
        for key, (module, name) in classes.items()
    }


def _launcher(values: Mapping[str, Any]) -> dict[str, Any]:
    given = values["runLauncher"]["config"]["k8sRunLauncher"]
    as_they_are = ("envVars", "resources", "securityContext", "volumeMounts", "volumes")
    config = {
        "load_incluster_config": given["loadInclusterConfig"],
        "job_namespace": NAMESPACE,
        "image_pull_policy": given["imagePullPolicy"],
        "service_account_name": values["serviceAccount"]["name"],
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "env_config_maps": [each["name"] for each in given["envConfigMaps"]],
        "env_secrets": [each["name"] for each in given["envSecrets"]],
        **{_snake_key(key): given[key] for key in as_they_are},
        "run_k8s_config": {_snake_key(key): part for key, part in given["runK8sConfig"].items()},
    }
    return {"module": "dagster_k8s", "class": values["runLauncher"]["type"], "config": config}


def _snake(value: Any) -> Any:  # noqa: ANN401 - of YAML
    if isinstance(value, Mapping):
        return {_snake_key(key): _snake(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_snake(each) for each in value]
    return value


def _snake_key(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
