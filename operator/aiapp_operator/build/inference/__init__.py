"""spec.inference -> model servers: one module for each engine, and what they share."""

from aiapp_operator.build.inference.deployment import cache_claim, deployment, pods_service, service, strategy

__all__ = ["cache_claim", "deployment", "pods_service", "service", "strategy"]
