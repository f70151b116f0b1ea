"""Ledger, quarantine, account and keyring, as they were before there were versions."""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "0001"
down_revision = None

# IF NOT EXISTS adopts a warehouse that was filled before there were versions.
_TABLES = """
CREATE TABLE IF NOT EXISTS pipeline.ledger (
    feed text NOT NULL,
    key bytea NOT NULL,
    content bytea NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, key)
);
-- Rows come in the order of their time: a block range index is enough, and costs next to nothing.
CREATE INDEX IF NOT EXISTS ledger_settled_at ON pipeline.ledger USING brin (settled_at);
CREATE TABLE IF NOT EXISTS pipeline.quarantine (
    feed text NOT NULL,
    key bytea NOT NULL,
    message_id text NOT NULL,
    reason text NOT NULL,
    field text,
    receive_count integer NOT NULL,
    sent_at timestamptz NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    body_sealed bytea NOT NULL,
    PRIMARY KEY (feed, key)
);
CREATE TABLE IF NOT EXISTS pipeline.account (
    batch_id uuid PRIMARY KEY,
    feed text NOT NULL,
    run_id text NOT NULL,
    received integer NOT NULL,
    loaded integer NOT NULL,
    duplicate integer NOT NULL,
    quarantined integer NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS account_feed ON pipeline.account (feed, committed_at);
CREATE TABLE IF NOT EXISTS pipeline.keyring (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    fingerprint bytea NOT NULL
);
"""


def upgrade() -> None:
    """Makes the tables that are missing."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
