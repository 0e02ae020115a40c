"""The Kubernetes API: one client, informers, stores, server-side apply, events, the Lease."""
