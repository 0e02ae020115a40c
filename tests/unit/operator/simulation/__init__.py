"""A Kubernetes in memory, under virtual time: an API server, its controllers, and the operator as a process in it.

Everything random comes from one seed, so a run that fails is replayed exactly by its seed.
"""
