"""Background jobs: a queue in Redis, and the worker role that takes jobs from it."""
