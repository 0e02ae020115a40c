"""Operator for AIApp resources: turns one AIApp into a running, observable AI application."""
