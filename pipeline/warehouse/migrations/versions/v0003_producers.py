"""What the REST service has answered, what the fetcher has fetched, and what a run gave back."""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "0003"
down_revision = "0002"

_TABLES = """
ALTER TABLE pipeline.account ADD COLUMN released integer NOT NULL DEFAULT 0;
CREATE TABLE pipeline.idempotency (
    sender text NOT NULL,
    key_digest bytea NOT NULL,
    fingerprint bytea NOT NULL,
    attempt bytea NOT NULL,
    status integer,
    answer bytea,
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sender, key_digest)
);
CREATE INDEX idempotency_started_at ON pipeline.idempotency (started_at);
CREATE TABLE pipeline.fetch_source (
    source text PRIMARY KEY,
    address text NOT NULL,
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_until timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE pipeline.fetch_page (
    source text NOT NULL,
    page text NOT NULL,
    count integer NOT NULL,
    next text,
    items text[] NOT NULL,
    etag text,
    PRIMARY KEY (source, page)
);
CREATE TABLE pipeline.fetch (
    source text NOT NULL,
    item text NOT NULL,
    range text NOT NULL,
    state text NOT NULL CHECK (state IN ('planned', 'fetched', 'sent', 'failed', 'gone')),
    attempts integer NOT NULL DEFAULT 0,
    reason text,
    versions integer NOT NULL DEFAULT 0,
    etag text,
    content bytea,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    fetched_at timestamptz,
    sent_at timestamptz,
    checked_at timestamptz,
    failed_at timestamptz,
    PRIMARY KEY (source, item)
);
CREATE INDEX fetch_range ON pipeline.fetch (source, range, item);
CREATE INDEX fetch_failed ON pipeline.fetch (source, item) WHERE state = 'failed';
"""


def upgrade() -> None:
    """Makes them."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
