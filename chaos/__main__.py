"""Runs chaos: `make chaos`, with ARGS="--minutes 60 --seed 7" for an hour of seed 7."""

from chaos.command import app

app()
