"""Alembic's entry: writes the steps out as SQL, which `pipeline.warehouse.schema` executes."""

from alembic import context

from pipeline.warehouse.schema import SCHEMA, VERSION_TABLE

context.configure(
    dialect_name="postgresql",
    dialect_opts={"paramstyle": "named"},  # else each % of a step is written twice
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    transactional_ddl=False,  # BEGIN and COMMIT are the caller's
)
context.run_migrations()
