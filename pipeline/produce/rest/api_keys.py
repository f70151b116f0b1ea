"""The list of API keys: who may send what, and how fast; it holds digests, never a key.

A key is 32 random bytes. Nobody finds it by trying, however quick the hash is, so SHA-256 will do:
the slow hashes are for what people choose. It costs a microsecond in each request.
"""

import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from pipeline.errors import SettingsError

ALL_FEEDS: Final = "*"
"""Stands for every feed, those to come as well."""

LIVE_KEYS: Final = 2
"""Keys that a sender may have at once: the one in use, and the one that it moves to."""

PER_SECOND: Final = 100.0
"""Records a second that a sender may send if nothing else is said."""

_SENDER: Final = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_NAMES: Final = "names of 1 to 64 of [a-z0-9_-]"
_OPTIONS: Final = {"feeds": "--feed", "per_second": "--per-second"}
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_SLOWEST, _FASTEST = 0.001, 1_000_000.0
_KEY_BYTES: Final = 32


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the list says of one sender.

    Attributes:
        feeds: The names of the feeds it may write to, or `ALL_FEEDS` alone.
        keys: Digests as `digest_of` gives them, the oldest first.
        per_second: Records a second, on average.
    """

    feeds: tuple[str, ...]
    keys: tuple[str, ...]
    per_second: float = PER_SECOND

    def __repr__(self) -> str:
        return "Entry(...)"  # its own would show the digests


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    senders: dict[str, Any]


def digest_of(key: str) -> str:
    """A key's digest, as the list holds it."""
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def read_list(content: bytes, place: str) -> dict[str, Entry]:
    """The senders of a list, by their names.

    Args:
        content: The list, in JSON.
        place: Where it is from, for the error's text.

    Raises:
        SettingsError: It breaks a rule. The text names the sender and the rule, nothing else.
    """
    try:
        parsed = json.loads(content, object_pairs_hook=_once_each)
        named = msgspec.convert(parsed, _List).senders
    except (ValueError, RecursionError):  # their texts may hold a digest, or a key in its place
        rule = 'JSON of the form {"senders": {…}}, no name twice'
        raise _broken(place, "the whole", rule) from None
    entries = {name: _read_entry(name, entry, place) for name, entry in named.items()}
    uses = Counter(key for entry in entries.values() for key in entry.keys)
    for name, entry in entries.items():
        if any(uses[key] > 1 for key in entry.keys):
            raise _broken(place, f"senders.{name}.keys", "each key once")
    return entries


def write_list(entries: Mapping[str, Entry]) -> bytes:
    """The list in JSON, laid out for people."""
    return msgspec.json.format(msgspec.json.encode({"senders": entries})) + b"\n"


def check_feeds(entries: Mapping[str, Entry], known: Collection[str], place: str) -> None:
    """Makes sure that the feeds of a list are there.

    Args:
        entries: The list.
        known: The names of the feeds that there are.
        place: Where the list is from.

    Raises:
        SettingsError: One is not.
    """
    for name, entry in entries.items():
        if not {ALL_FEEDS, *known}.issuperset(entry.feeds):
            raise _broken(place, f"senders.{name}.feeds", _there(known))


def add_key(
    entries: Mapping[str, Entry],
    name: str,
    *,
    feeds: Sequence[str],
    per_second: float | None,
    known: Collection[str],
) -> tuple[dict[str, Entry], str]:
    """A list with a new key for a sender, and the key.

    Args:
        entries: The list as it is.
        name: The sender's name.
        feeds: What it may write to from now on; empty to leave it as it is.
        per_second: Its records a second from now on; None to leave them as they are.
        known: The names of the feeds that there are.

    Raises:
        SettingsError: The sender has two keys already, or what is asked for breaks a rule.
    """
    if not _SENDER.fullmatch(name):  # and is not repeated: it may be a key in the wrong place
        raise _misgiven("SENDER", _NAMES)
    if not {ALL_FEEDS, *known}.issuperset(feeds):
        raise _misgiven("--feed", _there(known))
    before = entries.get(name, Entry(feeds=(), keys=()))
    if len(before.keys) >= LIVE_KEYS:
        raise SettingsError(
            f"sender {name} has {LIVE_KEYS} live keys already",
            remedy="Once nobody uses the older one any more, run:"
            f" pipeline api-keys drop {name} --oldest",
        )
    if not feeds and not before.feeds:
        raise SettingsError(
            f"sender {name} is new, and bound to no feed yet",
            remedy=f"Say which: pipeline api-keys new {name} --feed FEED, or '*' for all",
        )
    # The name tells people and secret scanners what was found where it should not be.
    key = f"sk_{name}_{secrets.token_urlsafe(_KEY_BYTES)}"
    entry = Entry(
        feeds=tuple(dict.fromkeys(feeds)) or before.feeds,
        keys=(*before.keys, digest_of(key)),
        per_second=before.per_second if per_second is None else per_second,
    )
    if fault := _fault(entry):  # of what was given: the keys are sound
        member, rule = fault
        raise _misgiven(_OPTIONS[member], rule)
    return {**entries, name: entry}, key


def drop_keys(
    entries: Mapping[str, Entry], name: str, count: int, *, place: str
) -> dict[str, Entry]:
    """A list without the oldest keys of a sender, who may be left with none.

    Args:
        entries: The list as it is.
        name: The sender's name.
        count: How many keys go.
        place: Where the list is from.

    Raises:
        SettingsError: There is no such sender, or it has no key.
    """
    if name not in entries or not entries[name].keys:
        raise SettingsError(
            f"there is no key of that sender at {place}",
            remedy="Correct SENDER: pipeline api-keys list shows those that there are",
        )
    left = entries[name].keys[count:]
    return {**entries, name: msgspec.structs.replace(entries[name], keys=left)}


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two members with one name, `json` would silently take the last."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError
    return read


def _read_entry(name: str, parsed: object, place: str) -> Entry:
    if not _SENDER.fullmatch(name):  # and is not repeated, as in `add_key`
        raise _broken(place, "senders", _NAMES)
    try:
        entry = msgspec.convert(parsed, Entry)
    except msgspec.ValidationError:  # its text repeats the names of members, whatever they are
        rule = "feeds, keys, and per_second if need be; nothing else"
        raise _broken(place, f"senders.{name}", rule) from None
    if fault := _fault(entry):
        member, rule = fault
        raise _broken(place, f"senders.{name}.{member}", rule)
    return entry


def _fault(entry: Entry) -> tuple[str, str] | None:
    """The member that breaks a rule, and the rule."""
    if not entry.feeds or (ALL_FEEDS in entry.feeds and len(entry.feeds) > 1):
        return "feeds", f'one feed at least, or "{ALL_FEEDS}" alone'
    if len(entry.keys) > LIVE_KEYS:
        return "keys", f"{LIVE_KEYS} live keys at most"
    if not all(map(_DIGEST.fullmatch, entry.keys)):
        return "keys", "sha256: and 64 hexadecimal digits in small letters"
    if not _SLOWEST <= entry.per_second <= _FASTEST:
        return "per_second", f"from {_SLOWEST:g} to {_FASTEST:,.0f}"
    return None


def _there(known: Collection[str]) -> str:
    return f"feeds that there are: {', '.join(sorted(known))}"


def _misgiven(argument: str, rule: str) -> SettingsError:
    return SettingsError(
        "what was given breaks a rule, and no key was made",
        remedy=f"Give another {argument}; the file stays as it was",
        field=argument,
        rule=rule,
    )


def _broken(place: str, where: str, rule: str) -> SettingsError:
    return SettingsError(
        f"the API keys at {place} break a rule",
        remedy="Correct it: docs/api-keys.md shows the form",
        field=where,
        rule=rule,
    )
