"""Tests of the AIApp operator, from pure units to whole clusters, and the test bed they run on."""
