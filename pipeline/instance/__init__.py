"""What `deploy/dagster.yaml` leaves to the environment: launcher, compute logs, database driver."""
