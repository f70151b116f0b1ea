"""Crashes for real: the run worker killed at every named point, and Dagster's own processes too."""
