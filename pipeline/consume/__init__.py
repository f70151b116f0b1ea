"""The way of a batch: receive, decode, mask, load, acknowledge; and how many runs to ask for."""
