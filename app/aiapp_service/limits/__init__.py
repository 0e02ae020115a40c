"""How much each caller may ask for and spend, counted across all replicas.

A request states what it needs (`demand`), is admitted as a whole or not at all (`shared` in Redis, `local` in this
process where there is none, or while it is down), and gives back what it did not use when it is over.
"""
