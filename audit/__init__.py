"""What `make audit` looks for: known holes, doubtful code, secrets (docs/security.md)."""
