"""A real Postgres with TLS, reached by both drivers."""
