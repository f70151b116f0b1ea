"""The feeds: one file each, found by being here. A file defines `FEED`."""

from typing import Final

from pipeline.contract import Feed
from pipeline.declarations import Folder

_FOLDER: Final = Folder(__name__, "feed", Feed, model="user_logins.py")


def discover() -> tuple[Feed, ...]:
    """Every feed of this folder, in the order of their names.

    Raises:
        ContractError: A file defines no `FEED`, or two feeds share a name, queue or table.
    """
    feeds = _FOLDER.load()
    _FOLDER.refuse_shared("name", [feed.name for feed in feeds])
    _FOLDER.refuse_shared("queue", [feed.queue for feed in feeds])
    _FOLDER.refuse_shared("table", [".".join(feed.schema_and_table) for feed in feeds])
    return feeds


def find(name: str) -> Feed:
    """The feed of that name.

    Raises:
        ContractError: There is none.
    """
    return _FOLDER.pick(name, {feed.name: feed for feed in discover()})
