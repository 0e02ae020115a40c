"""Redis and PostgreSQL as requests use them: with deadlines, and without waiting for what is known to be down."""
