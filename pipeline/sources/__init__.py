"""The sources: one file each, found by being here. A file defines `SOURCE`."""

import importlib
import pkgutil
from collections import Counter

from pipeline import feeds
from pipeline.contract import Feed
from pipeline.errors import ContractError
from pipeline.source import Source


def discover() -> tuple[Source, ...]:
    """Every source of this folder, in the order of their names.

    Raises:
        ContractError: A file defines no `SOURCE`, two share a name, or one writes to no feed.
    """
    sources = tuple(
        _load(module.name)
        for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name)
    )
    for name, times in Counter(source.name for source in sources).items():
        if times > 1:
            raise ContractError(
                f"{times} sources have the name {name!r}",
                remedy="Give each file under pipeline/sources/ a name of its own",
                rule="name: one source each",
            )
    for source in sources:
        feed_of(source)
    return sources


def find(name: str) -> Source:
    """The source of that name.

    Raises:
        ContractError: There is none.
    """
    sources = {source.name: source for source in discover()}
    if name not in sources:
        # The name is not repeated: it may be a value in the wrong place of a command line.
        raise ContractError(
            "there is no source of that name", remedy=f"Choose one of: {', '.join(sources)}"
        )
    return sources[name]


def feed_of(source: Source) -> Feed:
    """The feed that a source writes to.

    Raises:
        ContractError: There is none of that name.
    """
    return feeds.find(source.feed)


def _load(module: str) -> Source:
    source = getattr(importlib.import_module(f"{__name__}.{module}"), "SOURCE", None)
    if not isinstance(source, Source):
        raise ContractError(
            f"pipeline/sources/{module}.py does not define SOURCE",
            remedy="Assign a Source to the name SOURCE, as pokeapi.py does",
        )
    return source
