"""The tool `file_search` in responses and in chat completions, with a model that really calls it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from aiapp_service.config import (
    BackendConfig,
    CacheConfig,
    ExactCacheConfig,
    ProviderConfig,
    ProviderKind,
    ResponsesMode,
)
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.ledgers import Books, consuming
from tests.integration.service.retrieval.keeping import Keeping, app, filled
from tests.integration.service.retrieval.librarian import Librarian
from tests.integration.service.waiting import until

OWLS = "Owls hunt at night."
SAID = f"It says: {OWLS} So there.【99】"
CITED = {"type": "file_citation", "index": len(f"It says: {OWLS}"), "filename": "owls.txt"}


@asynccontextmanager
async def library(
    serve: Serve, keeping: Keeping, model: Librarian, **fields: Any
) -> AsyncIterator[tuple[Service, AsyncOpenAI, dict[str, Any], str]]:
    """The API, Alice's client, the tool over her store, and the id of the file that is in it."""
    async with model.running() as url, app(serve, keeping.config(url, **fields)) as api:
        client = api.sdk("key-alice")
        store, ids = await filled(client, {"owls.txt": OWLS})
        yield api, client, {"type": "file_search", "vector_store_ids": [store.id]}, ids["owls.txt"]


def plain(annotation: Any) -> dict[str, Any]:
    found = annotation if isinstance(annotation, dict) else annotation.to_dict()
    return {name: found[name] for name in CITED}


async def test_a_response(serve: Serve, keeping: Keeping) -> None:
    model = Librarian()
    async with library(serve, keeping, model) as (api, client, tool, file):
        response = await client.responses.create(
            model="chat", input="When do owls hunt?", tools=[tool], include=["file_search_call.results"]
        )
        search, message = response.output
        assert (search.type, search.status, search.queries) == ("file_search_call", "completed", ["When do owls hunt?"])
        assert search.results is not None
        assert [(found.file_id, found.text) for found in search.results] == [(file, OWLS)]
        assert message.type == "message"
        assert response.output_text == SAID
        (annotation,) = message.content[0].annotations  # type: ignore[union-attr]
        assert plain(annotation) == CITED
        assert annotation.to_dict()["position"] == {"start": 0, "end": len(OWLS), "page": None}
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.output_tokens) == (20, 10)
        assert [body["tools"][0]["function"]["name"] for body in model.bodies] == ["file_search", "file_search"]
        again = await client.responses.create(
            model="chat", input="And now?", previous_response_id=response.id, tools=[tool]
        )
        assert again.output[0].type == "file_search_call"
        assert again.output[0].results is None
        spent = 'ai_tokens_total{endpoint="responses",model="chat",type="input"}'
        await until("all rounds are counted", lambda: api.metric(spent) == 40)


async def test_a_streamed_response(serve: Serve, keeping: Keeping) -> None:
    async with library(serve, keeping, Librarian()) as (_, client, tool, _):
        stream = await client.responses.create(model="chat", input="When do owls hunt?", tools=[tool], stream=True)
        events = [event async for event in stream]
    types = [event.type for event in events]
    assert types[2:7] == [
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == SAID
    (cited,) = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert plain(cited.annotation) == CITED
    last = events[-1]
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == ["file_search_call", "message"]
    assert plain(last.response.output[1].content[0].annotations[0]) == CITED  # type: ignore[union-attr]
    assert last.response.usage is not None
    assert last.response.usage.total_tokens == 30
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("searches", [1, 3])
async def test_a_chat(serve: Serve, keeping: Keeping, searches: int) -> None:
    asked: list[Any] = [{"role": "user", "content": "When do owls hunt?"}]
    model = Librarian(searches)
    async with library(serve, keeping, model) as (_, client, tool, file):
        given: Any = tool
        whole = await client.chat.completions.create(model="chat", messages=asked, tools=[given])
        message = whole.choices[0].message
        assert (message.content, message.tool_calls) == (SAID, None)
        assert [plain(annotation) for annotation in message.annotations or ()] == [CITED]
        assert message.to_dict()["annotations"][0]["file_id"] == file  # type: ignore[index]
        assert whole.usage is not None
        assert whole.usage.prompt_tokens == 10 * (searches + 1)
        stream = await client.chat.completions.create(
            model="chat", messages=asked, tools=[given], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == SAID
        assert [delta.tool_calls for delta in deltas if delta.tool_calls] == []
        cited = [found for delta in deltas for found in (delta.model_extra or {}).get("annotations", [])]
        assert [plain(annotation) for annotation in cited] == [CITED]
        assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [15 * (searches + 1)]
        assert {chunk.id for chunk in chunks} == {chunks[0].id}
        assert chunks[-2].choices[0].finish_reason == "stop"


async def test_a_model_that_never_stops_looking_has_to_answer(serve: Serve, keeping: Keeping) -> None:
    model = Librarian(searches=100)
    async with library(serve, keeping, model) as (_, client, tool, _):
        response = await client.responses.create(model="chat", input="owls?", tools=[tool], tool_choice="required")
        assert response.output_text == SAID
    assert 2 < len(model.bodies) <= 6
    assert "tools" not in model.bodies[-1]
    assert [body.get("tool_choice") for body in model.bodies[:2]] == ["required", "auto"]


async def test_calls_of_the_client_s_own_functions_come_through(serve: Serve, keeping: Keeping) -> None:
    own: Any = {"type": "function", "function": {"name": "ring", "parameters": {"type": "object", "properties": {}}}}
    asked: list[Any] = [{"role": "user", "content": "owls"}]
    async with library(serve, keeping, Librarian(also="ring")) as (_, client, tool, _):
        given: Any = tool
        whole = await client.chat.completions.create(model="chat", messages=asked, tools=[given, own])
        assert [call.function.name for call in whole.choices[0].message.tool_calls or ()] == ["ring"]  # type: ignore[union-attr]
        stream = await client.chat.completions.create(model="chat", messages=asked, tools=[own, given], stream=True)
        names = [
            call.function.name
            async for chunk in stream
            for call in chunk.choices[0].delta.tool_calls or ()
            if call.function and call.function.name
        ]
        assert names == ["ring"]


async def test_rounds_are_one_row_of_the_ledger_and_no_answer_is_cached(serve: Serve, keeping: Keeping) -> None:
    model = Librarian()
    cache = CacheConfig(exact=ExactCacheConfig(ttl=60))
    async with library(serve, keeping, model, cache=cache) as (api, client, tool, _):
        wanted = api.gateway.current.config
        assert wanted.database is not None
        assert wanted.redis is not None
        books = Books(keeping.url_file.read_text().strip(), wanted.database)
        books.execute("DELETE FROM usage")
        for _ in range(2):
            await client.responses.create(model="chat", input="owls?", tools=[tool])
        assert len(model.bodies) == 4

        def asked() -> list[tuple[int, int]]:
            return [(r["input_tokens"], r["output_tokens"]) for r in books.rows() if r["model"] == "chat"]

        async with consuming(wanted.redis, books, wanted.app):
            await until("both requests are billed", lambda: len(asked()) == 2)
        assert asked() == [(20, 10)] * 2, "two rounds each"


async def test_a_stream_that_breaks_off_between_rounds_says_so(serve: Serve, keeping: Keeping) -> None:
    model = Librarian()
    model.fail_at = 2
    async with library(serve, keeping, model) as (_, client, tool, _):
        stream = await client.responses.create(model="chat", input="owls?", tools=[tool], stream=True)
        events = [event async for event in stream]
        assert events[-1].type == "response.failed"
        model.bodies.clear()
        with pytest.raises(openai.InternalServerError):
            await client.responses.create(model="chat", input="owls?", tools=[tool])


@pytest.mark.parametrize(
    ("tool", "status", "param"),
    [
        ({"vector_store_ids": []}, 400, "tools[0].vector_store_ids"),
        ({"vector_store_ids": ["vs_none"]}, 404, "tools"),
        ({"vector_store_ids": ["x"], "max_num_results": 0}, 400, "tools[0].max_num_results"),
        ({"vector_store_ids": ["x"], "filters": {"type": "?"}}, 400, "tools[0].filters.type"),
    ],
)
async def test_wrong_tools_name_the_field(
    serve: Serve, keeping: Keeping, tool: dict[str, Any], status: int, param: str
) -> None:
    model = Librarian()
    async with model.running() as url, serve(keeping.config(url)) as api:
        body = {"model": "chat", "input": "x", "tools": [{"type": "file_search", **tool}]}
        headers = {"Authorization": "Bearer key-alice"}
        async with api.http.post(f"{api.url}/v1/responses", json=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (status, param)
        assert model.bodies == []


async def test_the_store_of_another_tenant_is_not_there(serve: Serve, keeping: Keeping) -> None:
    async with library(serve, keeping, Librarian()) as (api, _, tool, _):
        with pytest.raises(openai.NotFoundError):
            await api.sdk("key-bob").responses.create(model="chat", input="owls?", tools=[tool])  # type: ignore[list-item]


async def test_files_are_searched_here_whoever_answers(serve: Serve, keeping: Keeping) -> None:
    """Also where the backend has responses, and perhaps a tool of that name: it knows nothing of our files."""
    model = Librarian()
    async with model.running() as url:
        wanted = keeping.config(url)
        native = ProviderConfig(
            name="native", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=url, responses=ResponsesMode.RELAY
        )
        chat = wanted.models[0].model_copy(update={"backends": (BackendConfig(provider="native", model="m"),)})
        changed = {"providers": (*wanted.providers, native), "models": (chat, *wanted.models[1:])}
        async with app(serve, wanted.model_copy(update=changed)) as api:
            client = api.sdk("key-alice")
            store, _ = await filled(client, {"owls.txt": OWLS})
            tool: Any = {"type": "file_search", "vector_store_ids": [store.id]}
            response = await client.responses.create(model="chat", input="When do owls hunt?", tools=[tool])
            assert [item.type for item in response.output] == ["file_search_call", "message"]
            assert response.output_text == SAID
