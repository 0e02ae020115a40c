"""Settings of the operator, read from environment variables once at start."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

PREFIX = "AIAPP_OPERATOR_"
HUB = "https://huggingface.co"


class Images(BaseModel):
    """Images for parts whose AIApp does not name one. A change rolls the parts that use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str = "ghcr.io/aiapp-operator/service:0.1.0"
    postgres: str = Field(default="pgvector/pgvector:pg17", description="PostgreSQL 17 with pgvector.")
    cloudnativepg: str = Field(
        default="ghcr.io/cloudnative-pg/postgresql:17-standard-bookworm",
        description="PostgreSQL 17 with pgvector for CloudNativePG, which reads the version from the tag.",
    )
    redis: str = "redis:7-alpine"
    llamacpp: str = "ghcr.io/ggml-org/llama.cpp:server"
    vllm: str = "vllm/vllm-openai:v0.11.0"
    sglang: str = "lmsysorg/sglang:v0.5.6"


class Settings(BaseModel):
    """All settings; `AIAPP_OPERATOR_IMAGE_SERVICE` sets `images.service`, `AIAPP_OPERATOR_WORKERS` sets `workers`.

    Durations are seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Images = Images()
    watch_namespaces: tuple[str, ...] = Field(default=(), description="Empty: all namespaces.")
    workers: int = Field(default=4, ge=1, le=64, description="AIApps reconciled at the same time.")
    resync: float = Field(default=600, gt=0, description="Each AIApp is looked at again after about this long.")
    health_interval: float = Field(default=30, gt=0, description="How often each API is asked for its health.")
    hub_url: str = Field(
        default=HUB,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        description="Where hf:// sources are downloaded from: the Hugging Face hub, or a mirror of it.",
    )
    progress_interval: float = Field(default=5, gt=0, description="How often each download is asked how far it is.")
    cluster_domain: str = "cluster.local"
    leader_election: bool = True
    lease_namespace: str = Field(default="", description="Namespace of the Lease; empty: the pod's own, or default.")
    lease_name: str = "aiapp-operator"
    identity: str = Field(default="", description="Holder name in the Lease; empty: host name and process id.")
    prometheus_url: str = Field(
        default="http://prometheus.monitoring.svc:9090", description="Where KEDA asks for requests that wait."
    )
    host: str = "0.0.0.0"  # noqa: S104  # probes and metrics are asked for from other pods
    probe_port: int = Field(default=8081, ge=0, le=65535)
    metrics_port: int = Field(default=8080, ge=0, le=65535)
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables that start with AIAPP_OPERATOR_.

        Raises:
            pydantic.ValidationError: a value is wrong or a variable is unknown; the message names it.
        """
        values: dict[str, object] = {}
        images: dict[str, str] = {}
        for key, value in sorted(env.items()):
            if not key.startswith(PREFIX):
                continue
            name = key.removeprefix(PREFIX).lower()
            if name.startswith("image_"):
                images[name.removeprefix("image_")] = value
            elif name == "watch_namespaces":
                values[name] = tuple(part for part in (n.strip() for n in value.split(",")) if part)
            else:
                values[name] = value
        return cls.model_validate({**values, "images": images})
