"""spec.inference -> model servers: one module for each engine, and what they share."""

from aiapp_operator.build.inference.deployment import cache_claim, deployment, pods_service, service, strategy
from aiapp_operator.build.inference.download import Stage, stage

__all__ = ["Stage", "cache_claim", "deployment", "pods_service", "service", "stage", "strategy"]
