"""The sources: one file each, found by being here. A file defines `SOURCE`."""

from typing import Final

from pipeline import feeds
from pipeline.contract import Feed
from pipeline.declarations import Folder
from pipeline.errors import ContractError
from pipeline.source import Source

_FOLDER: Final = Folder(__name__, "source", Source, model="pokeapi.py")


def discover() -> tuple[Source, ...]:
    """Every source of this folder, in the order of their names.

    Raises:
        ContractError: A file defines no `SOURCE`, two share a name, or one writes to no feed.
    """
    sources = _FOLDER.load()
    _FOLDER.refuse_shared("name", [source.name for source in sources])
    for source in sources:
        feed_of(source)
    return sources


def find(name: str) -> Source:
    """The source of that name.

    Raises:
        ContractError: There is none.
    """
    return _FOLDER.pick(name, {source.name: source for source in discover()})


def feed_of(source: Source) -> Feed:
    """The feed that a source writes to.

    Raises:
        ContractError: There is none of that name.
    """
    try:
        return feeds.find(source.feed)
    except ContractError as error:
        raise ContractError(
            f"source {source.name!r} writes to a feed that is not there", remedy=error.remedy
        ) from None
