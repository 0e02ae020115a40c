"""Backups of the database in the object store, drills that prove them, and bringing one back."""
