"""Who may what on AWS: policies, judged as IAM judges them, as far as ours go.

A call is refused where any statement denies it. Else the role's own policies have to allow it, and
for a KMS key its policy as well; another resource's policy only takes away here, since all callers
are of the account. What a policy of ours does not use is not known, and raises an error.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline_tests.stack_template import Deployed

_Statement = Mapping[str, Any]
_KNOWN: Final = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


@dataclass(frozen=True, slots=True)
class Access:
    """All policies of a deployment."""

    deployed: Deployed

    def may(self, role: str, action: str, resource: str, **context: str) -> bool:
        """Whether a role may do something.

        Args:
            role: Its name.
            action: As policies name it.
            resource: The ARN of what it is done to.
            context: What else is known of the call, with `__` for a colon in the names of keys.
        """
        root = f"arn:aws:iam::{self.deployed.account}:root"
        known = {
            "aws:SecureTransport": "true",
            "aws:ViaAWSService": "false",
            "aws:PrincipalArn": root.replace(":root", f":role/{role}"),
            **{name.replace("__", ":"): value for name, value in context.items()},
        }
        own = [each for each in self.of_role(role) if _meets(each, action, resource, known)]
        its = [each for each in self.of_resource(resource) if _meets(each, action, resource, known)]
        if any(each["Effect"] == "Deny" for each in (*own, *its)):
            return False
        if not own:
            return False
        if not resource.startswith("arn:aws:kms:"):
            return True
        return any(each["Principal"] == {"AWS": root} for each in its)

    def of_role(self, role: str) -> Iterator[_Statement]:
        """The statements of a role's policies."""
        for each in self.deployed.of_type("AWS::IAM::Role"):
            if each.get("RoleName") == role:
                for policy in each.get("Policies", ()):
                    yield from policy["PolicyDocument"]["Statement"]
        for each in self.deployed.of_type("AWS::IAM::ManagedPolicy"):
            if role in each["Roles"]:
                yield from each["PolicyDocument"]["Statement"]

    def of_resource(self, arn: str) -> Iterator[_Statement]:
        """The statements of a resource's own policy."""
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
            for each in self.deployed.of_type(kind):
                yield from each["PolicyDocument"]["Statement"]
        for (_, name), each in self.deployed.resources.items():
            if each["Type"] == "AWS::KMS::Key" and arn.endswith(f":key/{name}"):
                yield from each["Properties"]["KeyPolicy"]["Statement"]


def _meets(statement: _Statement, action: str, resource: str, known: Mapping[str, str]) -> bool:
    unknown = set(statement) - _KNOWN
    assert not unknown, unknown
    return (
        any(_like(each, action, ignoring_case=True) for each in listed(statement["Action"]))
        and any(_like(each, resource) for each in listed(statement["Resource"]))
        and all(
            _holds(operator, key, listed(values), known)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, key: str, values: list[str], known: Mapping[str, str]) -> bool:
    """Whether a condition holds; a key that the call lacks meets negations and IfExists alone."""
    plain = operator.removesuffix("IfExists")
    if key not in known:
        return plain != operator or plain == "StringNotEquals"
    match plain:
        case "StringEquals" | "Bool":
            return known[key] in values
        case "StringNotEquals":
            return known[key] not in values
        case "ArnEquals" | "ArnLike":
            return any(_like(each, known[key]) for each in values)
    raise AssertionError(operator)


def listed(value: Any) -> list[str]:  # noqa: ANN401 - a string or a list of them
    """What policies write as one or as many."""
    return [value] if isinstance(value, str) else list(value)


def _like(pattern: str, value: str, *, ignoring_case: bool = False) -> bool:
    written = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(written, value, re.IGNORECASE if ignoring_case else 0) is not None
