"""Tests of the production instance; they run with `make instance`."""
