"""One module for each version of our own tables; what was released is never changed."""
