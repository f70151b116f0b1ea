"""The embedded services behind the demo and plain `dagster dev`: a queue and a Postgres.

Why they are what they are: docs/decisions/0004-embedded-services.md.
"""
