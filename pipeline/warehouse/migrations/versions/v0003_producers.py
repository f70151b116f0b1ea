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
    status integer,
    answer jsonb,
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sender, key_digest)
);
CREATE INDEX idempotency_started_at ON pipeline.idempotency (started_at);
CREATE TABLE pipeline.fetch (
    source text NOT NULL,
    item text NOT NULL,
    state text NOT NULL CHECK (state IN ('planned', 'fetched', 'sent', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    reason text,
    etag text,
    content bytea,
    planned_at timestamptz NOT NULL DEFAULT now(),
    fetched_at timestamptz,
    sent_at timestamptz,
    failed_at timestamptz,
    PRIMARY KEY (source, item)
);
CREATE INDEX fetch_failed ON pipeline.fetch (source) WHERE state = 'failed';
"""


def upgrade() -> None:
    """Makes them."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
