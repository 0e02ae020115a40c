"""The whole product on a cluster: install it, drive it as a user would, wait for what it says.

Shared by the demo, the end-to-end tests and the fault tests.
"""
