"""What a process keeps for a while of what it has found outside, so that a look is one call."""

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Found = TypeVar("_Found")


class Kept(Generic[_Key, _Found]):
    """Things that were found, each until it is too old or known to be of no use.

    Args:
        find: Finds a thing. Two threads that ask at once may both do so.
        seconds: For how long it is kept.
    """

    def __init__(self, find: Callable[[_Key], _Found], *, seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._found: dict[_Key, tuple[float, _Found]] = {}

    def get(self, key: _Key) -> _Found:
        """The thing, found now or not long ago; raises what `find` raises."""
        now = monotonic()
        kept = self._found.get(key)
        if kept is not None and now - kept[0] < self._seconds:
            return kept[1]
        found = self._find(key)
        self._found[key] = (now, found)
        return found

    def drop(self, key: _Key) -> None:
        """Has it found anew by whoever asks next."""
        self._found.pop(key, None)
