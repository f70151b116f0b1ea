"""What the outside world looks like from here: settings, SQS, Postgres, keys."""
