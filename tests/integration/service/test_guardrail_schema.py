"""A guardrail whose schema is missing or wrong: the service works without it, and says so."""

from typing import Any

from tests.integration.service.conftest import Serve
from tests.integration.service.test_guardrails import ask, config, rail
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until


async def test_schema_that_cannot_be_used(serve: Serve, tmp_path: Any) -> None:
    """The service starts and says so; what cannot be judged passes or is refused, as `failOpen` says."""
    file = tmp_path / "schema.json"
    file.write_text('{"type": "nothing"}')
    rails = (rail("JSONSchema", "Block", ("Output",), schemaFile=str(file)),)
    async with Upstream(words=("no", "JSON")).running() as upstream:
        async with serve(config(upstream.url, guardrails=rails)) as api:
            assert (await ask(api))[2]["choices"][0]["finish_reason"] == "stop"
            async with api.http.get(f"{api.url}/health") as answer:
                health = await answer.json()
            assert (health["status"], health["checks"]["content"]["status"]) == ("degraded", "error")
            assert health["checks"]["content"]["message"].startswith("guardrail rail: its file is wrong")
        async with serve(config(upstream.url, guardrails=rails, fail_open=False)) as api:
            status, _, document = await ask(api)
            assert (status, document["error"]["code"]) == (503, "guardrail_unavailable")
            file.write_text("{}")

            async def judged() -> bool:
                return bool((await ask(api))[0] == 200)

            await until("mended", judged, seconds=5)
