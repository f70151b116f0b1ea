"""The feeds: one file each, found by being here. A file defines `FEED`."""

import importlib
import pkgutil
from collections import Counter

from pipeline.contract import Feed
from pipeline.errors import ContractError


def discover() -> tuple[Feed, ...]:
    """Every feed of this folder, in the order of their names.

    Raises:
        ContractError: A file defines no `FEED`, or two feeds share a name, queue or table.
    """
    feeds = tuple(
        _load(module.name)
        for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name)
    )
    named = {
        "name": [feed.name for feed in feeds],
        "queue": [feed.queue for feed in feeds],
        "table": [".".join(feed.schema_and_table) for feed in feeds],
    }
    for what, values in named.items():
        for value, times in Counter(values).items():
            if times > 1:
                raise ContractError(
                    f"{times} feeds have the {what} {value!r}",
                    remedy=f"Give each file under pipeline/feeds/ a {what} of its own",
                    rule=f"{what}: one feed each",
                )
    return feeds


def find(name: str) -> Feed:
    """The feed of that name.

    Raises:
        ContractError: There is none.
    """
    feeds = {feed.name: feed for feed in discover()}
    if name not in feeds:
        # The name is not repeated: it may be a value in the wrong place of a command line.
        raise ContractError(
            "there is no feed of that name", remedy=f"Choose one of: {', '.join(feeds)}"
        )
    return feeds[name]


def _load(module: str) -> Feed:
    feed = getattr(importlib.import_module(f"{__name__}.{module}"), "FEED", None)
    if not isinstance(feed, Feed):
        raise ContractError(
            f"pipeline/feeds/{module}.py does not define FEED",
            remedy="Assign a Feed to the name FEED, as user_logins.py does",
        )
    return feed
