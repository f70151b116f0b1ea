"""Tests of the gateway's configuration, against the real nginx."""
