"""End-to-end tests: the installed operator, real nodes, pods, databases and a real model."""
