"""One range of a table's pages, whose pseudonyms are renewed in a transaction of its own."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from pipeline.contract import Feed, Field
from pipeline.errors import TableMismatch
from pipeline.masking.keyring import Keyring
from pipeline.operate.columns import RENEWABLE, columns_of, has_shape
from pipeline.operate.renew import renew
from pipeline.resources.postgres import Refusal, classify, describe

_ATTEMPTS = 10
_FIRST_PAUSE = 0.05  # seconds; doubles, with jitter
_LONGEST_PAUSE = 2.0
_LOCKED = "55P03"
_SAMPLES = 5

# The bounds make Postgres read these pages and no others.
_FIND = """
SELECT ctid, {columns} FROM ONLY {leaf}
WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid AND ({old})
FOR UPDATE
"""
_WRITE = """
UPDATE ONLY {leaf} AS __row SET {changes}
FROM unnest(%(places)s::tid[], {arrays}) AS __new (__place, {columns})
WHERE __row.ctid >= %(first)s::tid AND __row.ctid < %(end)s::tid AND __row.ctid = __place
RETURNING {taken}
"""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PageRange:
    """Where to work.

    Attributes:
        feed: The contract.
        leaf: The table, or one of its partitions.
        first: The first page.
        end: The page after the last.
    """

    feed: Feed
    leaf: sql.Identifier
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the values of some rows, by column.

    Attributes:
        renewed: How many carry the current version now.
        forgotten: How many have a pseudonym that stands for nobody any more, or never did.
        unopened: How many have one that does not open.
        samples: Some of these, where they look like pseudonyms at all.
    """

    renewed: Counter[str] = field(default_factory=Counter)
    forgotten: Counter[str] = field(default_factory=Counter)
    unopened: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Adds what became of other rows."""
        self.renewed.update(other.renewed)
        self.forgotten.update(other.forgotten)
        self.unopened.update(other.unopened)
        for column, tokens in other.samples.items():
            self.samples[column] = sorted({*self.samples.get(column, ()), *tokens})[:_SAMPLES]


def renew_range(connection: psycopg.Connection, pages: PageRange, keyring: Keyring) -> Tally:
    """Renews a range; where others hold on to its rows, again and again for some seconds.

    Raises:
        TableMismatch: A constraint or a trigger of the table stands against it.
        psycopg.Error: Whatever else Postgres refuses.
    """
    pause = _FIRST_PAUSE
    for _ in range(_ATTEMPTS - 1):
        try:
            return _Transaction(connection, pages, keyring).run()
        except psycopg.Error as error:
            if classify(error) is not Refusal.CONTENDED and error.sqlstate != _LOCKED:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        pause = min(2 * pause, _LONGEST_PAUSE)
    return _Transaction(connection, pages, keyring).run()


class _Transaction:
    """One attempt."""

    def __init__(self, connection: psycopg.Connection, pages: PageRange, keyring: Keyring) -> None:
        self._connection, self._pages, self._keyring = connection, pages, keyring
        self._columns = columns_of(pages.feed, RENEWABLE)
        self._names = [sql.Identifier(each.name) for each in self._columns]
        self._bounds = {"first": f"({pages.first},0)", "end": f"({pages.end},0)"}
        self._prefix = f"v{keyring.current}."
        self._tally = Tally()

    def run(self) -> Tally:
        with self._connection.transaction():
            self._connection.execute("SET LOCAL lock_timeout = '2s'")
            # As a load has it: nobody is forgotten between a look into the vault and a row in it.
            self._connection.execute("LOCK TABLE pipeline.vault IN ROW EXCLUSIVE MODE")
            rows = self._find()
            columns = [
                self._renew(column, [row[place] for row in rows])
                for place, column in enumerate(self._columns, start=1)
            ]
            renewed = [(row[0], *values) for row, *values in zip(rows, *columns, strict=True)]
            self._write([new for new, old in zip(renewed, rows, strict=True) if new != old])
        return self._tally

    def _find(self) -> list[Row]:
        old = [sql.SQL("NOT starts_with({}, %(prefix)s)").format(name) for name in self._names]
        statement = sql.SQL(_FIND).format(
            columns=sql.SQL(", ").join(self._names),
            leaf=self._pages.leaf,
            old=sql.SQL(" OR ").join(old),
        )
        parameters = {**self._bounds, "prefix": self._prefix}
        return self._connection.execute(statement, parameters).fetchall()

    def _renew(self, column: Field, values: Sequence[str | None]) -> list[str | None]:
        """The column with what can be renewed in place of what it has."""
        times = Counter(value for value in values if value and not value.startswith(self._prefix))
        renewed = renew(self._connection, self._pages.feed, column, list(times), self._keyring)
        for counter, tokens in (
            (self._tally.renewed, renewed.tokens),
            (self._tally.forgotten, renewed.forgotten),
            (self._tally.unopened, renewed.unopened),
        ):
            if tokens:
                counter[column.name] = sum(times[token] for token in tokens)
        self._tally.samples[column.name] = [
            token for token in renewed.unopened if has_shape(token, column)
        ]
        return [value and renewed.tokens.get(value, value) for value in values]

    def _write(self, rows: Sequence[Row]) -> None:
        names = [each.name for each in self._columns]
        changes = [sql.SQL("{0} = __new.{0}").format(name) for name in self._names]
        # A trigger may have written something else, and then there would be no end to it.
        taken = [
            sql.SQL("__row.{0} IS NOT DISTINCT FROM __new.{0}").format(name) for name in self._names
        ]
        arrays = [sql.SQL("{}::text[]").format(sql.Placeholder(f"new_{name}")) for name in names]
        statement = sql.SQL(_WRITE).format(
            leaf=self._pages.leaf,
            changes=sql.SQL(", ").join(changes),
            arrays=sql.SQL(", ").join(arrays),
            columns=sql.SQL(", ").join(self._names),
            taken=sql.SQL(" AND ").join(taken),
        )
        places, *values = zip(*rows, strict=True) if rows else ((), *((),) * len(names))
        parameters = {f"new_{name}": list(each) for name, each in zip(names, values, strict=True)}
        parameters["places"] = list(places)
        try:
            changed = self._connection.execute(statement, {**self._bounds, **parameters}).fetchall()
        except psycopg.IntegrityError as error:
            raise self._refused(describe(error)) from None
        written = changed.count((True,))
        if written != len(rows):
            raise self._refused(f"{written} of {len(rows)} rows were changed without an error")

    def _refused(self, told: str) -> TableMismatch:
        return TableMismatch(
            f"the table does not take new pseudonyms ({told})",
            remedy="Look for a constraint, a trigger or a rule on its columns of pseudonyms; the"
            " pages before these are done, these are as they were",
            feed=self._pages.feed.name,
        )
