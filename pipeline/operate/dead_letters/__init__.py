"""Dead-letter queues: seen, told of, and redriven to the queue that their messages came from."""
