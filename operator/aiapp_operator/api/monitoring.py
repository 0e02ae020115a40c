"""spec.monitoring: what the application tells about itself."""

from typing import Annotated

from pydantic import Field

from aiapp_operator.api.base import ApiModel


class Tracing(ApiModel):
    """OpenTelemetry traces of requests, with the semantic conventions for generative AI."""

    endpoint: Annotated[str, Field(max_length=2048, pattern=r"^$|^https?://[^\s]+$")] = Field(
        default="",
        description="OTLP over HTTP, for example http://collector.observability.svc:4318; empty: no traces.",
    )
    content: bool = Field(
        default=False, description="true puts what was asked and answered into the traces: it may be personal data."
    )


class Monitoring(ApiModel):
    """What the application tells about itself."""

    tracing: Tracing = Field(default_factory=Tracing, description="OpenTelemetry traces of requests.")
