"""What handling the quarantine needs."""

from pipeline.warehouse.schema import no_way_back

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes it."""


def downgrade() -> None:
    """Refuses."""
    no_way_back()
