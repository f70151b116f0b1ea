"""The REST service: events come in over HTTP, and are answered once they are on the queue."""
