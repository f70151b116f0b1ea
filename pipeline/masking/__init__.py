"""Turns personal values into pseudonyms, keyed and column by column."""
