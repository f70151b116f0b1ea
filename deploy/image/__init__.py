"""The container image: what it installs, what starts in it, how its health is told."""
