"""Asking models: backends, the order in which they are tried, streams, usage and cost."""
