"""Chaos: everything real, everything broken now and then, and a report of what became of it."""
