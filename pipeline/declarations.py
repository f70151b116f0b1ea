"""Finds what the files of a folder declare: each file defines one thing, under a name for all."""

import importlib
import pkgutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Generic, TypeVar

from pipeline.errors import ContractError, PipelineError

_Declared = TypeVar("_Declared")


@dataclass(frozen=True, slots=True)
class Folder(Generic[_Declared]):
    """A folder of declarations.

    Attributes:
        package: The folder, as it is imported: `pipeline.feeds`.
        noun: What one of its files declares: `feed`.
        kind: The class of that. Each file assigns one to the class's name in capitals.
        model: A file of it to go by.
    """

    package: str
    noun: str
    kind: type[_Declared]
    model: str

    def load(self) -> tuple[_Declared, ...]:
        """What its files declare, in the order of their names.

        Raises:
            ContractError: A file declares nothing, or cannot be imported.
        """
        files = pkgutil.iter_modules(sys.modules[self.package].__path__)
        return tuple(self._load(name) for name in sorted(each.name for each in files))

    def refuse_shared(self, what: str, values: Iterable[str]) -> None:
        """Makes sure that each has its own.

        Args:
            what: The attribute.
            values: Its value in each of them.

        Raises:
            ContractError: Two have the same.
        """
        for value, times in Counter(values).items():
            if times > 1:
                raise ContractError(
                    f"{times} {self.noun}s have the {what} {value!r}",
                    remedy=f"Give each file under {self._path} a {what} of its own",
                    rule=f"{what}: one {self.noun} each",
                )

    def pick(self, name: str, among: Mapping[str, _Declared]) -> _Declared:
        """The one of that name.

        Raises:
            ContractError: There is none.
        """
        if name not in among:
            # The name is not repeated: it may be a value in the wrong place of a command line.
            raise ContractError(
                f"there is no {self.noun} of that name",
                remedy=f"Choose one of: {', '.join(among)}",
            )
        return among[name]

    def _load(self, module: str) -> _Declared:
        name = self.noun.upper()
        declared = getattr(self._import(module), name, None)
        if not isinstance(declared, self.kind):
            raise ContractError(
                f"{self._path}{module}.py does not define {name}",
                remedy=f"Assign a {self.kind.__name__} to the name {name}, as {self.model} does",
            )
        return declared

    def _import(self, module: str) -> ModuleType:
        try:
            return importlib.import_module(f"{self.package}.{module}")
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a file that is being written does
            raise ContractError(
                f"{self._path}{module}.py cannot be imported: {type(error).__name__} at line"
                f" {_line(error, module)}",
                remedy=f"Correct it; python -m {self.package}.{module} shows the whole error",
            ) from None

    @property
    def _path(self) -> str:
        return self.package.replace(".", "/") + "/"


def _line(error: Exception, module: str) -> int | str:
    """Where in that file it happened, last."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [each.lineno for each in frames if each.filename.endswith(f"/{module}.py")]
    return lines[-1] if lines and lines[-1] is not None else "?"
