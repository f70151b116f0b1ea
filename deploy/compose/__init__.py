"""What deploy/compose.yaml mounts, and the command that makes its secret files."""
