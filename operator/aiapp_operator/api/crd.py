"""The CustomResourceDefinition, generated from the types."""

from typing import Any

from aiapp_operator.api.app import GROUP, KIND, PLURAL, VERSION, AIApp
from aiapp_operator.api.schema import of_model

_READY = '.status.conditions[?(@.type=="Ready")]'


def crd() -> dict[str, Any]:
    """aiapps.aiapp.dev, ready to be applied."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["aia"],
                "categories": ["all", "ai"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.api.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def _schema() -> dict[str, Any]:
    # Kubernetes' own fields are described by Kubernetes.
    own = frozenset({"apiVersion", "kind", "metadata"})
    schema = of_model(AIApp, omit=own)
    described = {
        "apiVersion": {"type": "string", "description": "Version of the API that this object is written in."},
        "kind": {"type": "string", "description": "AIApp."},
        "metadata": {"type": "object"},
    }
    schema["properties"] = {**described, **schema["properties"]}
    schema["description"] = (AIApp.__doc__ or "").strip()
    schema["required"] = ["spec"]
    schema["properties"]["spec"].pop("default", None)
    schema["properties"]["status"]["default"] = {"observedGeneration": -1}
    schema["properties"]["status"]["properties"]["observedGeneration"]["format"] = "int64"
    return schema


def _columns() -> list[dict[str, Any]]:
    def column(name: str, path: str, **more: object) -> dict[str, Any]:
        return {"name": name, "type": "string", "jsonPath": path, **more}

    return [
        column("Ready", f"{_READY}.status"),
        column("Reason", f"{_READY}.reason"),
        column("API", ".status.api"),
        column("URL", ".status.url"),
        column("Workers", ".status.workers", priority=1),
        column("Inference", ".status.inference", priority=1),
        column("GPUs", ".status.gpus", priority=1),
        column("Message", f"{_READY}.message", priority=1),
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
