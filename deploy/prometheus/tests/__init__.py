"""What holds with the real promtool and Prometheus: `make monitoring`."""
