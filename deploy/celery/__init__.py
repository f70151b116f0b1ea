"""Dagster's instance with warm workers, and its tests on a real Redis."""
