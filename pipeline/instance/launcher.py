"""The run launcher that the environment names: dagster.yaml itself cannot choose."""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

import dagster as dg
from dagster._core.launcher import RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from pipeline.errors import SettingsError

LAUNCHER: Final = "PIPELINE_LAUNCHER"

# By name: each is imported where it is chosen, and an image has the extra of that one alone.
_CLASSES: Final = {
    "default": ("pipeline.instance.code_server", "CodeServerRunLauncher"),
    "celery": ("pipeline.warm.launcher", "WarmRunLauncher"),
    "ecs": ("dagster_aws.ecs", "EcsRunLauncher"),
    "k8s": ("dagster_k8s", "K8sRunLauncher"),
}


class ChosenRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Stands in dagster.yaml for the launcher that is made in its place; never made itself."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What each launcher takes, under its name; it checks that itself once it is chosen."""
        anything = dg.Permissive()  # type: ignore[no-untyped-call] # not annotated
        return {name: dg.Field(anything, is_required=False) for name in _CLASSES}

    @classmethod
    def from_config_value(  # type: ignore[override] # another launcher, as it says
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> RunLauncher[Any]:
        """Makes the launcher that PIPELINE_LAUNCHER names, or that of the code server.

        Raises:
            SettingsError: It names none, or one that is not installed.
        """
        del inst_data  # the chosen one has its own
        name = os.environ.get(LAUNCHER) or "default"
        if name not in _CLASSES:
            raise SettingsError(
                f"{LAUNCHER} names no launcher", remedy=f"Set it to one of {', '.join(_CLASSES)}"
            )
        module, class_name = _CLASSES[name]
        package = module.partition(".")[0]
        if find_spec(package) is None:
            raise SettingsError(
                f"{LAUNCHER} is {name}, and {package} is not installed",
                remedy=f"Install the extra: pip install '.[{name}]' in the checkout",
            )
        config = json.dumps(config_value.get(name, {}))  # JSON is YAML
        data = ConfigurableClassData(module, class_name, config)
        return data.rehydrate(RunLauncher)  # type: ignore[type-abstract] # one of its kind
