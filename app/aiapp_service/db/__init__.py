"""PostgreSQL: the schema and its migrations, and whether it answers."""
