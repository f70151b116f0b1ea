"""Tests of warm workers on a real Redis; they run with `make celery`."""
