"""Prometheus: whom it asks, and when it tells people."""
