"""The steps that make and upgrade our own tables, in the order that Alembic puts them in."""
