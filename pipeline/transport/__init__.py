"""The lean transport: SQS's three hot calls at a fifth of boto3's cost; docs/decisions/0014."""
