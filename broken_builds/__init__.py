"""Builds that are broken on purpose: each must be seen by the test that is named for it."""
