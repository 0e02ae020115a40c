"""The running operator: queue, reconciler, kopf handlers, metrics, probes."""
