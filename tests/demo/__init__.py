"""`make demo`: from a bare machine to a streamed answer of a real model."""
