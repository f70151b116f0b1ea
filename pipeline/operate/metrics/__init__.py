"""Metrics for Prometheus, read from the tables and SQS: no process of Dagster's is needed."""
