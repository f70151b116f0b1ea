"""What people do with the quarantine: list, look at one, redrive, purge."""
