"""How Postgres is set where it is reached over a network, and the tests of it."""
