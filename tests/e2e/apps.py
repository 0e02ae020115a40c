"""Making AIApps for tests: small ones that are Ready within seconds, in a namespace of the test's own."""

import re
import zlib
from dataclasses import dataclass
from typing import Any, Self

from tests.stack.aiapp import AppHandle
from tests.stack.install import Platform
from tests.stack.kube import Kube, Manifest
from tests.stack.wait import wait_until

MOCK = {"name": "fake", "kind": "Mock"}
MOCK_CHAT = {"name": "chat", "backends": [{"provider": "fake", "model": "mock-chat"}]}


def app_manifest(name: str, namespace: str, **spec: Any) -> Manifest:
    """An AIApp with one API pod and small volumes; `spec` adds to it or replaces parts of it."""
    return {
        "apiVersion": "aiapp.dev/v1alpha1",
        "kind": "AIApp",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "api": {"replicas": 1, "auth": {"anonymous": True}},
            "providers": [MOCK],
            "models": [MOCK_CHAT],
            "postgres": {"managed": {"storage": {"size": "1Gi"}}},
            "redis": {"managed": {"storage": {"size": "1Gi"}}},
            **spec,
        },
    }


@dataclass(frozen=True)
class AppFactory:
    """AIApps of one namespace."""

    platform: Platform
    namespace: str

    @classmethod
    def for_test(cls, platform: Platform, test: str) -> Self:
        """A fresh namespace named after the test."""
        slug = re.sub(r"[^a-z0-9]+", "-", test.removesuffix(".py").removeprefix("test_").lower()).strip("-")[:30]
        namespace = f"e2e-{slug}-{zlib.crc32(test.encode()) % 10000}"
        factory = cls(platform, namespace)
        factory.remove()
        platform.kube.namespace(namespace)
        return factory

    @property
    def kube(self) -> Kube:
        """The cluster."""
        return self.platform.kube

    def apply(self, name: str = "app", **spec: Any) -> AppHandle:
        """Apply an AIApp and give a handle to it."""
        self.kube.apply(app_manifest(name, self.namespace, **spec))
        return AppHandle(self.kube, self.namespace, name)

    def forget(self) -> None:
        """Delete the namespace; that it takes half a minute until it is gone need not hold up the next test."""
        self.kube.delete("Namespace", self.namespace)

    def remove(self) -> None:
        """Delete the namespace and wait until it is gone."""
        if self.kube.get("Namespace", self.namespace) is None:
            return
        self.forget()
        wait_until(
            f"namespace {self.namespace} gone",
            lambda: self.kube.get("Namespace", self.namespace) is None,
            seconds=120,
            seen=lambda: self.kube.get("Namespace", self.namespace),
        )
