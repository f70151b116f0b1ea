"""Tells people of failures: what, where, and what to do; and never a value."""
