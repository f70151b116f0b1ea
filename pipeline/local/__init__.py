"""The embedded services behind the demo and plain `dagster dev`: a queue and a Postgres."""
