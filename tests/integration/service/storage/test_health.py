"""/health says whether the object store answers, and whose turn it is where it does not."""

import random

from aiapp_service.config import ServiceConfig
from aiapp_service.dependencies import Probes, open_probes
from aiapp_service.http import health
from tests.integration.servers.objects import ObjectServer


async def test_object_store_is_a_check(object_store: ObjectServer) -> None:
    async with Probes(open_probes(ServiceConfig(object_store=object_store.config))) as probes:
        dependencies = health.Dependencies(probes.checks, random.Random(1))

        async def look() -> tuple[str, str, bool]:
            await dependencies.look()
            document = health.document(dependencies, None)
            check = document["checks"]["storage"]
            return document["status"], check.get("message", ""), check.get("refused", False)

        assert await look() == ("healthy", "", False)
        object_store.change_key("AKIAOTHEROTHER", "another-secret")
        status, message, refused = await look()
        assert (status, refused) == ("degraded", True)
        assert "spec.objectStore.s3.credentialsSecretRef" in message
        object_store.server.stop()
        status, message, refused = await look()
        assert (status, refused) == ("degraded", False)
        assert message
