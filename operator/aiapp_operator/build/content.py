"""Prompts and schemas inside pods of the service: files from ConfigMaps, refreshed by kubelet.

They are optional volumes: a ConfigMap that is missing keeps no pod from starting. The service says so on /health.
"""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.content import ConfigMapKeyRef
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.build.pod import mount

CONTENT_DIR = "/etc/aiapp/content"


def prompt_path(name: str, version: str) -> str:
    """Where the template of one version is, below CONTENT_DIR."""
    return f"prompts/{name}/{version}"


def schema_path(guardrail: str) -> str:
    """Where the schema of a guardrail is, below CONTENT_DIR."""
    return f"schemas/{guardrail}"


def volume(app: AIApp) -> Manifest | None:
    """All of them in one volume; None where there are none."""
    files = [(prompt.config_map_ref, prompt_path(prompt.name, prompt.version)) for prompt in app.spec.prompts]
    files += [(g.schema_ref, schema_path(g.name)) for g in app.spec.guardrails if g.schema_ref is not None]
    if not files:
        return None
    return {"name": "content", "projected": {"defaultMode": 0o444, "sources": [_source(*file) for file in files]}}


def content_mount() -> Manifest:
    """Where a container sees them."""
    return mount("content", CONTENT_DIR, read_only=True)


def _source(ref: ConfigMapKeyRef, path: str) -> Manifest:
    return {"configMap": {"name": ref.name, "items": [{"key": ref.key, "path": path}], "optional": True}}
