"""Runs the machines: `make machines`, with ARGS="--messages 60000" for longer rounds."""

from machines.command import app

app()
