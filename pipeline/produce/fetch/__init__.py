"""Fetches the records of a paged public API, each once, and puts them on a feed's queue."""
