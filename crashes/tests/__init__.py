"""Kills of whole processes as tests: `make crashes` runs them before its matrix."""
