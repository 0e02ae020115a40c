"""Python's collector of cycles, set up for a process that serves many small requests.

What is loaded at the start stays to the end, so it is not looked through again; and a request leaves few cycles
behind, so looking for them seldom costs no memory worth naming. With the defaults a tenth of all CPU time goes there,
and pauses of tens of milliseconds.
"""

import gc

# How many more containers are made than freed before the young ones are looked at: those that requests under way hold
# are not garbage, and are many.
_YOUNG = 20_000
_MIDDLE = 20
_OLD = 20


def settle() -> None:
    """Call it when everything is built and nothing is served yet."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
