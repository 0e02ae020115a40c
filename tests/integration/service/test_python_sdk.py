"""What applications in Python see of chats and responses: tools, the SDK's own errors, leaving early."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from aiapp_service.config import AuthConfig
from tests.integration.service.calling import ARGUMENTS, calling
from tests.integration.service.conftest import Serve
from tests.integration.service.patience import patient
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

MESSAGES: Any = [{"role": "user", "content": "1+2?"}]
PARAMETERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}
TOOL: Any = {"type": "function", "name": "add", "parameters": PARAMETERS, "strict": False}


async def test_chat_calls_a_function(serve: Serve) -> None:
    async with calling() as url, serve(patient(url)) as api, api.sdk() as client:
        async with client.chat.completions.stream(model="chat", messages=MESSAGES, tools=[CHAT_TOOL]) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        assert message.tool_calls is not None
        assert (message.tool_calls[0].id, message.tool_calls[0].function.arguments) == ("call_1", ARGUMENTS)
        result: Any = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
        asked: Any = [*MESSAGES, message.model_dump(exclude_none=True, exclude={"parsed"}), result]
        answer = await client.chat.completions.create(model="chat", messages=asked, tools=[CHAT_TOOL])
        assert answer.choices[0].message.content == "It is 3"


async def test_response_calls_a_function(serve: Serve) -> None:
    async with calling() as url, serve(patient(url)) as api, api.sdk() as client:
        async with client.responses.stream(model="chat", input="1+2?", tools=[TOOL]) as stream:
            pieces = [e.delta async for e in stream if e.type == "response.function_call_arguments.delta"]
            first = await stream.get_final_response()
        call = first.output[0]
        assert call.type == "function_call"
        assert "".join(pieces) == call.arguments == ARGUMENTS
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(3)}
        # The conversation sent again by the client, as applications do that store nothing.
        items: Any = [*MESSAGES, *(item.model_dump(exclude_none=True) for item in first.output), result]
        answer = await client.responses.create(model="chat", input=items, tools=[TOOL], store=False)
        assert answer.output_text == "It is 3"


async def test_errors_are_the_sdks_own(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "ann").write_text("key-of-ann")
    access = AuthConfig(api_keys_dir=tmp_path)
    async with (
        Upstream(status=429, headers={"Retry-After": "7"}).running() as limited,
        serve(patient(limited.url, auth=access)) as api,
        api.sdk("key-of-ann") as ann,
        api.sdk("wrong") as nobody,
    ):
        for client, expected in ((ann, openai.RateLimitError), (nobody, openai.AuthenticationError)):
            for attempt in (
                client.chat.completions.create(model="chat", messages=MESSAGES),
                client.responses.create(model="chat", input="x"),
            ):
                with pytest.raises(expected) as caught:
                    await attempt
                assert caught.value.request_id
        with pytest.raises(openai.RateLimitError) as told:
            await ann.responses.create(model="chat", input="x", stream=True)
        assert told.value.response.headers["Retry-After"] == "7"


@pytest.mark.parametrize("face", ["chat", "responses"])
async def test_leaving_stops_the_backend(serve: Serve, face: str) -> None:
    upstream = Upstream(between=0.05, words=("x",) * 2000)
    async with upstream.running(), serve(patient(upstream.url)) as api, api.sdk() as client:
        stream: Any
        if face == "chat":
            stream = await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
        else:
            stream = await client.responses.create(model="chat", input="x", stream=True)
        await anext(aiter(stream))
        await stream.close()
        await until("the backend notices", upstream.left.is_set)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)
