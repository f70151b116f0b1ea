"""What needs hadolint and cyclonedx-bom; it runs with `make image`."""
