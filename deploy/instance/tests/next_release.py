"""The release after this one, as far as it can be known: one more migration, one more field."""

import shutil
from pathlib import Path
from typing import Final

import pipeline
from pipeline.warehouse.schema import HEAD

NEXT: Final = f"{int(HEAD) + 1:04}"

_MIGRATION: Final = f'''"""What the next release adds: code of this one need not know of it."""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    """Adds a column and a table."""
    op.execute("ALTER TABLE pipeline.account ADD COLUMN told_at timestamptz")
    op.execute("CREATE TABLE pipeline.told (batch_id uuid PRIMARY KEY)")


def downgrade() -> None:
    """Refuses."""
    no_way_back()
'''
_FIELD: Final = """\
        Field(
            "carrier",
            Text(16, samples=("A1", "B2")),
            Keep(),
            nullable=True,
            description="The network that the phone was on.",
        ),
        Field(
            SENT_AT,
"""


def make_next_release(folder: Path) -> Path:
    """A folder with the sources of the next release, which PYTHONPATH may name."""
    sources = folder / "pipeline"
    found = Path(pipeline.__file__).parent
    shutil.copytree(found, sources, ignore=shutil.ignore_patterns("__pycache__"))
    warehouse = sources / "warehouse"
    _change(warehouse / "schema.py", f'HEAD: Final = "{HEAD}"', f'HEAD: Final = "{NEXT}"')
    (warehouse / "migrations" / "versions" / f"v{NEXT}_next.py").write_text(_MIGRATION)
    _change(sources / "feeds" / "user_logins.py", "        Field(\n            SENT_AT,\n", _FIELD)
    return folder


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new))
