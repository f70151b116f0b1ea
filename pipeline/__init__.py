"""Moves events from SQS into Postgres tables: masked, complete, each exactly once."""
