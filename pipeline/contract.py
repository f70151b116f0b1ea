"""What a feed promises: one queue, one record shape, one table.

A `Feed` is checked when it is built. A wrong one raises `ContractError`, which names the feed,
the field and the rule, before anything runs.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from pipeline.enrichment import ENRICHED, Enrichment
from pipeline.errors import ContractError
from pipeline.masking.leaks import NATIONAL_IDS, Kind
from pipeline.masking.policies import UNDECLARED, Drop, Keep, Policy
from pipeline.reserved import PREFIXES, is_reserved
from pipeline.types import Date, FieldType, Texts, Timestamp

SENT_AT = "@sent_at"
"""The path of the envelope's time: when SQS took the message (`SentTimestamp`). A redelivery has
the same one, so a row's date does not depend on when it was loaded."""

# Two leading underscores mark the columns that a load adds to its temporary table.
_IDENTIFIER = re.compile(r"(?!__)[a-z_][a-z0-9_]*", re.ASCII)
_IDENTIFIER_BYTES = 63  # Postgres cuts longer names silently
_COLUMNS = 1_597  # Postgres takes 1,600, and a load adds three
_SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
_SCHEMAS = ("pipeline", "pg_", "information_schema")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_LARGEST_MESSAGE = 2**20  # bytes
_VISIBILITY_LIMIT = 43_200  # seconds: SQS's own limit, 12 hours

MOST_HELD = 100_000
"""Messages that a feed's runs may hold together: past 120,000 in flight SQS delivers none."""

SIDE_BY_SIDE = 2
"""Batches that one run has in hand at once: one is received while the other is settled."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the record, and the column it becomes. One path may feed two columns.

    Attributes:
        path: Where the value stands in the message; dots lead into nested objects
            (`"device.id"`). `SENT_AT`: the time at which SQS took the message. `ENRICHED` and
            more: what the feed's enrichment adds.
        type: What the value may be.
        policy: What becomes of it on the way into the table. Leaving it out is refused.
        column: The column's name; the last part of the path if not given.
        description: What the column holds, for the people who query it.
        personal: Whether the value says something about a person.
        nullable: Whether the value may be null or absent.
    """

    path: str
    type: FieldType
    policy: Policy = UNDECLARED
    column: str = ""
    description: str = ""
    personal: bool = False
    nullable: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column or self.path.rpartition(".")[2].removeprefix("@")

    @property
    def enriched(self) -> bool:
        """Whether the feed's enrichment adds the value."""
        return self.path.startswith(ENRICHED)

    @property
    def sent(self) -> bool:
        """Whether the producer sends the value, in the body."""
        return self.path != SENT_AT and not self.enriched


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a feed's queue is worked off.

    Attributes:
        batch_messages: Messages of one batch at most.
        batch_bytes: Bytes of one batch at most, by the sizes of the messages before.
        receive_seconds: Seconds for which one batch goes on receiving at most.
        run_messages: Messages that one run settles at most, batch after batch.
        run_seconds: Seconds after which a run begins no further batch.
        receivers: Calls under way at once at most, to receive a batch, and to acknowledge it.
        visibility_seconds: How long SQS hides a received message; a heartbeat renews it at half.
        hold_seconds: How long a run may hold a message at all; then the heartbeat lets go.
        linger_seconds: How long a depth below `linger_messages` waits for company.
        linger_messages: The depth from which a run starts at once.
        max_runs: Runs of this feed that may be queued or running together.
        run_age_seconds: From this age on a run counts as dead, whatever Dagster says of it.
    """

    batch_messages: int = 10_000
    batch_bytes: int = 20 * 2**20
    receive_seconds: float = 60.0
    run_messages: int = 200_000
    run_seconds: float = 60.0
    receivers: int = 32
    visibility_seconds: int = 120
    hold_seconds: int = 900
    linger_seconds: float = 20.0
    linger_messages: int = 500
    max_runs: int = 2
    run_age_seconds: float = 1800.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Each broken rule: the name of the limit and what it must be."""
        for name in self.__slots__:
            if getattr(self, name) < (0 if name == "linger_seconds" else 1):
                yield name, "must be positive"
        if self.batch_bytes < _LARGEST_MESSAGE:
            yield "batch_bytes", f"must be at least {_LARGEST_MESSAGE}, the largest message of SQS"
        if SIDE_BY_SIDE * self.max_runs * self.batch_messages > MOST_HELD:
            most = MOST_HELD // SIDE_BY_SIDE
            yield "max_runs", f"times batch_messages must be at most {most}"
        if self.run_messages < self.batch_messages:
            yield "run_messages", "must be at least batch_messages"
        for name in ("visibility_seconds", "hold_seconds"):  # also of all extensions together
            if getattr(self, name) > _VISIBILITY_LIMIT:
                yield name, f"must be at most {_VISIBILITY_LIMIT}, the limit of SQS"
        if self.hold_seconds < self.visibility_seconds + self.receive_seconds:
            yield "hold_seconds", "must cover visibility_seconds and receive_seconds"
        if self.run_age_seconds < self.run_seconds + self.hold_seconds:
            yield "run_age_seconds", "must cover run_seconds and hold_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A contract: what comes in, what is done to it, where it goes.

    Attributes:
        name: The feed's name; assets, jobs and sensors are named after it.
        description: One or two sentences for the people who use the table.
        queue: The name of the SQS queue.
        table: The table, `name` or `schema.name`; in schema `public` if none is given.
        fields: The columns, in the order of the table.
        key: Paths of the fields that together identify an event, for producers that send no
            `event_id`. Empty: the `event_id` attribute, or else SQS's message id.
        limits: How the queue is worked off.
        enrichment: What is done for each record before it is masked, if anything is.
        national_ids: The kinds of ids that the leak scan looks for, beside those that it always
            does.
    """

    name: str
    description: str
    queue: str
    table: str
    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    enrichment: Enrichment | None = None
    national_ids: tuple[Kind, ...] = ()

    def __post_init__(self) -> None:
        self._check_names()
        for each in self.fields:
            self._check_field(each)
        columns = [each.name for each in self.fields]
        for name in columns:
            if columns.count(name) > 1:
                self._refuse("each column is fed by one field", field=name)
        self._check_paths()
        self._check_key()
        if not NATIONAL_IDS.issuperset(self.national_ids):
            self._refuse(f"national_ids: of {', '.join(sorted(NATIONAL_IDS))}")
        for name, rule in self.limits.problems():
            self._refuse(f"limits.{name} {rule}")
        self._check_enrichment()

    @property
    def schema_and_table(self) -> tuple[str, str]:
        """The schema and the name of the table."""
        schema, _, table = self.table.rpartition(".")
        return schema or "public", table

    @property
    def columns(self) -> tuple[Field, ...]:
        """The fields that have a column in the table."""
        return tuple(each for each in self.fields if not isinstance(each.policy, Drop))

    def _check_names(self) -> None:
        self._check_identifier(self.name, "name")
        if is_reserved(self.name):
            self._refuse(f"name: no word of Python or Dagster, no prefix {', '.join(PREFIXES)}")
        for part in self.schema_and_table:
            self._check_identifier(part, "table")
        if self.schema_and_table[0].startswith(_SCHEMAS):
            self._refuse("table: in a schema that is neither Postgres's nor this project's")
        if not _QUEUE.fullmatch(self.queue):
            self._refuse("queue: 1 to 80 of A-Z a-z 0-9 _ - (FIFO queues are not read yet)")
        if not 1 <= len(self.columns) <= _COLUMNS:
            self._refuse(f"fields: 1 to {_COLUMNS} that have a column")

    def _check_field(self, each: Field) -> None:
        self._check_identifier(each.name, "column", field=each.name)
        if each.name in _SYSTEM_COLUMNS:
            self._refuse("column: not the name of a system column", field=each.name)
        if not all(each.path.split(".")):
            self._refuse("path: names joined by single dots", field=each.name)
        if each.path == SENT_AT and not isinstance(each.type, Date | Timestamp):
            self._refuse("type: the time of sending is a Date or a Timestamp", field=each.name)
        if isinstance(each.type, Texts) and not isinstance(each.policy, Keep | Drop):
            self._refuse("policy: a list is kept or dropped", field=each.name)
        problem = each.type.problem() or each.policy.problem(each.type, personal=each.personal)
        if problem:
            self._refuse(problem, field=each.name)

    def _check_paths(self) -> None:
        by_path: dict[str, Field] = {}
        for each in self.fields:
            first = by_path.setdefault(each.path, each)
            if each.path != SENT_AT and _promise(first) != _promise(each):
                rule = "path: fields of one path agree on type, personal and nullable"
                self._refuse(rule, field=each.name)
        paths = {each.path for each in self.fields}
        for each in self.fields:
            parents = itertools.accumulate(each.path.split(".")[:-1], "{}.{}".format)
            if not paths.isdisjoint(parents):
                self._refuse("path: does not lead through another field", field=each.name)

    def _check_key(self) -> None:
        by_path = {each.path: each for each in self.fields}
        for path in self.key:
            if path not in by_path:
                self._refuse("key: a field of this feed", field=path)
            if by_path[path].nullable or by_path[path].enriched:
                self._refuse("key: a field that is never null, nor enriched", field=path)

    def _check_enrichment(self) -> None:
        added = [each.name for each in self.fields if each.enriched]
        if self.enrichment is None:
            if added:
                self._refuse(f"path: {ENRICHED} in a feed with an enrichment", field=added[0])
            return
        if not added:
            self._refuse(f"enrichment: at least one field whose path begins {ENRICHED}")
        others = self.limits.visibility_seconds + self.limits.receive_seconds
        for name, rule in self.enrichment.problems(self.limits.hold_seconds - others):
            self._refuse(f"enrichment.{name} {rule}")

    def _check_identifier(self, name: str, what: str, *, field: str | None = None) -> None:
        if not _IDENTIFIER.fullmatch(name) or len(name.encode()) > _IDENTIFIER_BYTES:
            rule = f"{what}: lower-case letters, digits and _, at most {_IDENTIFIER_BYTES} bytes"
            self._refuse(rule, field=field)

    def _refuse(self, rule: str, *, field: str | None = None) -> NoReturn:
        raise ContractError(
            "the contract does not hold together",
            remedy="Correct the feed's file under pipeline/feeds/",
            feed=self.name,
            field=field,
            rule=rule,
        )


def _promise(each: Field) -> tuple[FieldType, bool, bool]:
    """What a contract says of a value, whatever becomes of it."""
    return each.type, each.personal, each.nullable
