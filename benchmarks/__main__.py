"""Runs the benchmarks: `make bench`, with ARGS="drain --messages 20000" for other sizes."""

from benchmarks.drain import app

app()
