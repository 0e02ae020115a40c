"""What requests cost, and the ledger in PostgreSQL that has each of them exactly once."""
