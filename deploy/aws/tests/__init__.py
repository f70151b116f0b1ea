"""Tests of the templates that take longer than a test of `make test` may."""
