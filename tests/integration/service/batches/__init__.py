"""Batches, with real processes, stores and SDK."""
