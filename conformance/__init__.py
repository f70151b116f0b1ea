"""The conformance suite where the tests do not run it: against LocalStack, and against AWS."""
