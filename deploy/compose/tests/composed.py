"""deploy/compose.yaml as Compose reads it: merged, with its variables put in."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dagster_shared.yaml_utils import load_yaml_from_path

DEPLOY: Final = Path(__file__).parents[2]
FILE: Final = DEPLOY / "compose.yaml"

_VARIABLE: Final = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")


def put_in(text: str, given: Mapping[str, str]) -> str:
    """A text with its variables: `${NAME:-default}`, and `$$` for a dollar."""

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        return given.get(found[2]) or found[3] or ""

    return _VARIABLE.sub(value, text)


def read(given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole file.

    Args:
        given: What stands in the environment, or in the file of `--env-file`.
    """
    return _resolved(load_yaml_from_path(str(FILE)), given or {})  # type: ignore[no-any-return]


def _resolved(value: Any, given: Mapping[str, str]) -> Any:  # noqa: ANN401 - of any depth
    match value:
        case str():
            return put_in(value, given)
        case dict():
            return {name: _resolved(each, given) for name, each in value.items()}
        case list():
            return [_resolved(each, given) for each in value]
    return value


@dataclass(frozen=True)
class Service:
    """A service of the file.

    Attributes:
        name: Its name.
        said: What the file says of it.
    """

    name: str
    said: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        """Its command, word by word."""
        given = self.said.get("command", [])
        return shlex.split(given) if isinstance(given, str) else [str(word) for word in given]

    @property
    def environment(self) -> dict[str, str]:
        """What its process finds in its environment, as the file says."""
        return {name: str(value) for name, value in self.said.get("environment", {}).items()}

    @property
    def secrets(self) -> list[str]:
        """The secrets that it is given; each lies at /run/secrets under its name."""
        return list(self.said.get("secrets", ()))

    @property
    def networks(self) -> set[str]:
        """The networks that it is in."""
        return set(self.said.get("networks", ()))

    @property
    def after(self) -> dict[str, str]:
        """Which services it waits for, and for what."""
        return {name: each["condition"] for name, each in self.said.get("depends_on", {}).items()}

    @property
    def check(self) -> list[str] | None:
        """The command of its health check; None where it has none."""
        test = self.said.get("healthcheck", {}).get("test")
        if test is None:
            return None
        return ["/bin/sh", "-c", test[1]] if test[0] == "CMD-SHELL" else list(test[1:])

    @property
    def ours(self) -> bool:
        """Whether it runs the image of this project."""
        return "build" in self.said

    @property
    def profiles(self) -> list[str]:
        """The profiles that it is in; none: it is always started."""
        return list(self.said.get("profiles", ()))


def services(given: Mapping[str, str] | None = None) -> dict[str, Service]:
    """The services of the file, by name."""
    return {name: Service(name, said) for name, said in read(given)["services"].items()}


def in_order(those: Mapping[str, Service]) -> Iterator[Service]:
    """Services in an order in which each comes after those that it waits for.

    Raises:
        AssertionError: They wait for each other, or for one that is not there.
    """
    started: set[str] = set()
    while started != set(those):
        ready = [
            each
            for each in those.values()
            if each.name not in started and set(each.after) <= started
        ]
        assert ready, f"these wait for each other, or for nobody: {set(those) - started}"
        yield from ready
        started |= {each.name for each in ready}
