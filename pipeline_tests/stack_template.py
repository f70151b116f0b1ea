"""Templates of CloudFormation, with what they refer to filled in, as far as ours go."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped] # as it comes

_MADE: Final = object()  # AWS::NoValue
_NAMES: Final = {
    "AWS::SQS::Queue": "QueueName",
    "AWS::IAM::Role": "RoleName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SecretsManager::Secret": "Name",
}
"""The properties that name a resource."""
_ARNS: Final = {
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::KMS::Key": "arn:aws:kms:{region}:{account}:key/{name}",
    # With characters that nobody knows beforehand.
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:{region}:{account}:secret:{name}-AbCdEf",
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """YAML with the short forms of CloudFormation's functions."""


def _function(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _function)


def read(path: Path) -> dict[str, Any]:
    """A template as it is written, with the long forms of functions."""
    found: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506, TID251 - a SafeLoader
    return found


@dataclass
class Deployed:
    """Stacks that were deployed one after the other, on paper.

    Attributes:
        account: Whose they are.
        region: Where they are.
        exports: What the stacks so far tell those to come.
        resources: All resources, by stack and logical name, their properties filled in.
    """

    account: str
    region: str
    exports: dict[str, Any] = field(default_factory=dict)
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def deploy(self, stack: str, path: Path, parameters: Mapping[str, str]) -> None:
        """Adds a stack.

        Raises:
            KeyError: It is told too little, or refers to what is not there.
        """
        written = read(path)
        unknown = set(parameters) - set(written["Parameters"])
        if unknown:
            raise KeyError(f"{stack}: no parameters {unknown}")
        filling = _Filling(self, written, parameters)
        for name in written["Resources"]:
            if (found := filling.resource(name)) is not None:
                self.resources[stack, name] = found
        for output in written.get("Outputs", {}).values():
            if "Export" in output:
                self.exports[filling.of(output["Export"]["Name"])] = filling.of(output["Value"])

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The properties of all resources of a type."""
        return [each["Properties"] for each in self.resources.values() if each["Type"] == kind]


@dataclass
class _Filling:
    """One template, being filled in."""

    deployed: Deployed
    written: dict[str, Any]
    parameters: Mapping[str, str]

    def resource(self, name: str) -> dict[str, Any] | None:
        """A resource; None where its condition says no."""
        found = self.written["Resources"][name]
        if "Condition" in found and not self.holds(found["Condition"]):
            return None
        return {**found, "Properties": self.of(found.get("Properties", {}))}

    def of(self, value: Any) -> Any:  # noqa: ANN401 - whatever stands in a template
        """A value without functions."""
        if isinstance(value, list):
            return [each for each in map(self.of, value) if each is not _MADE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name.removeprefix("Fn::"), argument)
        filled = {key: self.of(each) for key, each in value.items()}
        return {key: each for key, each in filled.items() if each is not _MADE}

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template holds."""
        return bool(self.of(self.written["Conditions"][condition]))

    def _call(self, name: str, argument: Any) -> Any:  # noqa: ANN401 - as above
        functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Sub": self._sub,
            "GetAtt": lambda given: self._attribute(given[0], given[1]),
            "ImportValue": lambda given: self.deployed.exports[self.of(given)],
            "If": lambda given: self.of(given[1 if self.holds(given[0]) else 2]),
            "Equals": lambda given: self.of(given[0]) == self.of(given[1]),
            "Not": lambda given: not self.of(given[0]),
        }
        return functions[name](argument)

    def _ref(self, name: str) -> Any:  # noqa: ANN401 - as above
        pseudo = {
            "AWS::AccountId": self.deployed.account,
            "AWS::Region": self.deployed.region,
            "AWS::Partition": "aws",
            "AWS::NoValue": _MADE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.written["Resources"]:
            secret = self.written["Resources"][name]["Type"] == "AWS::SecretsManager::Secret"
            return self._attribute(name, "Arn") if secret else self._name(name)
        kind = self.written["Parameters"][name]
        value = self.parameters.get(name, kind.get("Default"))
        if value is None:
            raise KeyError(f"{name} is not given")
        lists = kind["Type"] == "CommaDelimitedList" or kind["Type"].startswith("List<")
        return str(value).split(",") if lists else value

    def _sub(self, argument: Any) -> str:  # noqa: ANN401 - a text, or it and what is filled in
        text: str = argument
        given: dict[str, Any] = {}
        if isinstance(argument, list):
            text, given = argument[0], argument[1]

        def value(found: re.Match[str]) -> str:
            name, _, attribute = found[1].partition(".")
            if name in given:
                return str(self.of(given[name]))
            return str(self._attribute(name, attribute) if attribute else self._ref(name))

        return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", value, text)

    def _name(self, logical: str) -> str:
        found = self.written["Resources"][logical]
        naming = found.get("Properties", {}).get(_NAMES.get(found["Type"], ""))
        return logical if naming is None else str(self.of(naming))

    def _attribute(self, logical: str, attribute: str) -> str:
        kind = self.written["Resources"][logical]["Type"]
        name = self._name(logical)
        if attribute == "Arn" and kind in _ARNS:
            where = {"account": self.deployed.account, "region": self.deployed.region}
            return _ARNS[kind].format(name=name, **where)
        return name if attribute == "QueueName" else f"{name}.{attribute}"
