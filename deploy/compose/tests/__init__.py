"""The services of deploy/compose.yaml, run as processes: `make compose`."""
