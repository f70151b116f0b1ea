"""What deploy/web-gateway lets through, and what not, tried on the real programs."""
