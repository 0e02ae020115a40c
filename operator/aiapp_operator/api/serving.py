"""spec.api and spec.workers: the stateless parts that run the bundled service."""

from typing import ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, PartName, Resources, Rule, SecretRef


class ApiKeys(ApiModel):
    """API keys of clients, one Secret entry each."""

    secret_ref: SecretRef = Field(
        description="Secret whose keys are client names and whose values are their API keys. Read again on change."
    )


class Auth(ApiModel):
    """Who may call the API. With neither field set every request is answered with 401."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.apiKeys) && has(self.anonymous) && self.anonymous)",
            "give either apiKeys or anonymous: true, not both: with anonymous the keys would protect nothing",
        ),
    )
    api_keys: ApiKeys | None = Field(default=None, description="Let clients in that send one of these API keys.")
    anonymous: bool = Field(
        default=False,
        description="true lets everybody in without a key. Only for demos and trusted networks.",
    )


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
