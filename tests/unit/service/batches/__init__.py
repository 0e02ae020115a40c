"""What batches do without stores."""
