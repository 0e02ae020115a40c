"""Answers that are given again: to the very same request (exact), or to one that means the same (semantic)."""
