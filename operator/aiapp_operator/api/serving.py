"""spec.api and spec.workers: the stateless parts that run the bundled service."""

from pydantic import Field

from aiapp_operator.api.access import Auth, Cors, HostName, Network, RateLimit
from aiapp_operator.api.base import ApiModel, PartName, Resources
from aiapp_operator.api.storage import Files


class Api(ApiModel):
    """The OpenAI-compatible API."""

    replicas: int = Field(default=2, ge=0, le=1000, description="Number of API pods.")
    resources: Resources = Field(
        default_factory=Resources, description="Compute resources of each API pod; empty means safe defaults."
    )
    auth: Auth = Field(
        default_factory=Auth,
        description="Who may call the API. With none of its fields set every request is answered with 401.",
    )
    rate_limit: RateLimit | None = Field(
        default=None, description="How much each key, tenant or address may ask for, over all API pods."
    )
    cors: Cors | None = Field(default=None, description="Which web pages may call the API from a browser.")
    files: Files | None = Field(
        default=None, description="What clients may upload with /v1/files, where spec.objectStore is given."
    )
    trusted_proxies: list[Network] = Field(
        default_factory=list,
        max_length=64,
        description="Networks (CIDR) of proxies whose X-Forwarded-For is believed, for limits per IP.",
        json_schema_extra={
            "x-kubernetes-list-type": "set",
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(n, isCIDR(n) || isIP(n))",
                    "message": "trustedProxies: give networks such as 10.0.0.0/8, or addresses",
                }
            ],
        },
    )
    fetch_hosts: list[HostName] = Field(
        default_factory=list,
        max_length=64,
        description=(
            "Hosts from which the API may fetch images that requests name by URL, for backends that cannot do it "
            "themselves. Addresses inside the cluster are never fetched."
        ),
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Worker(ApiModel):
    """A Deployment of background workers."""

    name: PartName = Field(description="Name of these workers; part of the Deployment's name.")
    queues: list[PartName] = Field(
        min_length=1,
        max_length=16,
        description="Queues these workers serve. Known queues: embeddings.",
        json_schema_extra={
            "x-kubernetes-list-type": "set",
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(q, q in ['embeddings'])",
                    "message": "unknown queue; the known queue is: embeddings",
                }
            ],
        },
    )
    concurrency: int = Field(default=5, ge=1, le=1000, description="Jobs that each worker pod runs at the same time.")
    resources: Resources = Field(
        default_factory=Resources,
        description="Compute resources of each worker pod; empty means safe defaults.",
    )
