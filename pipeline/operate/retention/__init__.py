"""Keeps what the pipeline remembers from growing for ever: what goes, when, and never sooner."""
