"""What stands in Postgres: the tables of the feeds, our own, and who may do what with them."""
