"""The gateway: nginx configuration, and its tests."""
