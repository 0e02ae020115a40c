"""Prompt templates in versions: what they look like, how requests use them, how they are tested."""
