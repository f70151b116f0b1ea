"""The producers' side: what puts events on a feed's queue."""
