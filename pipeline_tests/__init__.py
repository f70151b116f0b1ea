"""The tests: one file per module, then sensor, definitions, privacy, faults and end to end."""
