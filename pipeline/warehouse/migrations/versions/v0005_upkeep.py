"""What keeps our own tables from growing for ever."""

from pipeline.warehouse.schema import no_way_back

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Makes it."""


def downgrade() -> None:
    """Refuses."""
    no_way_back()
