"""The embedded queue: SQS's JSON protocol over a state machine in memory."""
