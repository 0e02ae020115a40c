"""Background jobs with a real Redis."""
