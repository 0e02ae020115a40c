"""What clients of /v1/batches see, with the openai SDK against an API and a worker."""

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio

from tests.integration.servers.objects import object_server
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import redis_server
from tests.integration.service.batches.stand import OTHER_KEY, Stand, asking, stand
from tests.integration.service.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    folder = tmp_path_factory.mktemp("batches")
    with redis_server(folder / "redis") as redis, object_server(folder / "objects") as objects:
        async with stand(folder, postgres_server, redis, objects, "batches") as running:
            yield running


@pytest.fixture
def app(shared: Stand) -> Stand:
    """One for all of them: each begins with an upstream that does what it is asked, and empty books."""
    shared.upstream.forget()
    shared.books.execute("DELETE FROM usage")
    return shared


async def test_lines_are_answered_and_billed(app: Stand) -> None:
    app.upstream.failures = {"line 3": [503, 429], "line 4": [400]}
    batch = await app.create([asking(n) for n in range(40)])
    assert (batch.status, batch.object, batch.completion_window) == ("validating", "batch", "24h")
    assert batch.expires_at == batch.created_at + 24 * 3600
    ended = await app.ended(batch)
    assert ended.status == "completed"
    assert ended.request_counts is not None
    assert ended.request_counts.model_dump() == {"total": 40, "completed": 39, "failed": 1}
    assert ended.model == "chat"
    assert ended.usage is not None
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (390, 195)
    times = [ended.created_at, ended.in_progress_at, ended.finalizing_at, ended.completed_at]
    assert times == sorted(times, key=lambda time: time or 0)
    output = await app.lines(ended.output_file_id)
    errors = await app.lines(ended.error_file_id)
    assert [line["custom_id"] for line in output] == [f"request-{n}" for n in range(40) if n != 4]
    assert output[7]["response"]["status_code"] == 200
    assert output[7]["response"]["body"]["choices"][0]["message"]["content"] == "Answer to line 8"
    assert output[7]["error"] is None
    assert [line["custom_id"] for line in errors] == ["request-4"]
    assert errors[0]["response"]["status_code"] == 400
    assert app.upstream.asked["line 3"] >= 3
    assert 1 < app.upstream.most_at_once <= 32
    rows = app.books.rows()
    assert len(rows) == 39
    assert {(row["tenant"], row["api_key"], row["endpoint"], row["batch"]) for row in rows} == {
        ("web", "web", "chat/completions", batch.id)
    }
    assert app.rows("SELECT * FROM batch_lines") == []
    file = await app.sdk().files.retrieve(str(ended.output_file_id))
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")


async def test_embeddings_and_responses(app: Stand) -> None:
    line = {"custom_id": "one", "method": "POST", "url": "/v1/embeddings", "body": {"model": "embed", "input": "text"}}
    embedded = await app.ended(await app.create([line], "/v1/embeddings"))
    (answer,) = await app.lines(embedded.output_file_id)
    assert answer["response"]["body"]["data"][0]["embedding"] == [0.25, 0.5]
    line = {"custom_id": "one", "method": "POST", "url": "/v1/responses", "body": {"model": "chat", "input": "Hello"}}
    responded = await app.ended(await app.create([line], "/v1/responses"))
    (answer,) = await app.lines(responded.output_file_id)
    body = answer["response"]["body"]
    assert (body["object"], body["status"], body["store"]) == ("response", "completed", False)
    assert body["output"][0]["content"][0]["text"] == "Answer to Hello"
    assert [row["endpoint"] for row in app.books.rows()] == ["embeddings", "responses"]


async def test_wrong_lines_fail_the_batch_before_anything_is_asked(app: Stand) -> None:
    lines = [asking(0), "{no json", asking(0), asking(3, model="nothing"), asking(4, stream=True), "", asking(6)]
    ended = await app.ended(await app.create(lines))
    assert ended.status == "failed"
    assert ended.errors is not None
    assert [(e.line, e.code, e.param) for e in ended.errors.data or []] == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "model_not_found", "body.model"),
        (5, "stream_not_supported", "body.stream"),
    ]
    assert ended.failed_at is not None
    assert not app.upstream.asked


async def test_cancelling_delivers_what_is_done(app: Stand) -> None:
    app.upstream.stuck = {f"line {n}" for n in range(5, 100)}
    batch = await app.create([asking(n) for n in range(100)])
    await until("five are answered", lambda: len(app.upstream.answered) == 5)
    asked = await app.sdk().batches.cancel(batch.id)
    assert asked.status == "cancelling"
    ended = await app.ended(batch, seconds=30)
    assert ended.status == "cancelled"
    assert ended.cancelled_at is not None
    assert {line["custom_id"] for line in await app.lines(ended.output_file_id)} == {f"request-{n}" for n in range(5)}
    errors = await app.lines(ended.error_file_id)
    assert {line["error"]["code"] for line in errors} == {"batch_cancelled"}
    assert len(errors) == 32, "those that were under way"
    assert len(app.upstream.asked) == 37, "the others were never asked"
    assert (await app.sdk().batches.cancel(batch.id)).status == "cancelled"


async def test_cancelling_what_nobody_has_begun(app: Stand) -> None:
    app.worker.kill()
    batch = await app.create([asking(0)])
    await app.sdk().batches.cancel(batch.id)
    await app.worker.start()
    ended = await app.ended(batch)
    assert (ended.status, ended.output_file_id, ended.error_file_id) == ("cancelled", None, None)
    assert not app.upstream.asked


async def test_expiry_delivers_what_is_done_and_names_the_others(app: Stand) -> None:
    app.upstream.stuck = {f"line {n}" for n in range(3, 50)}
    app.worker.kill()
    batch = await app.create([asking(n) for n in range(50)])
    app.books.execute("UPDATE batches SET expires_at = now() + interval '10 seconds'")
    await app.worker.start()
    await until("three are answered", lambda: len(app.upstream.answered) == 3)
    ended = await app.ended(batch, seconds=40)
    assert ended.status == "expired"
    assert ended.expired_at is not None
    assert len(await app.lines(ended.output_file_id)) == 3
    errors = await app.lines(ended.error_file_id)
    assert [line["custom_id"] for line in errors] == [f"request-{n}" for n in range(3, 50)]
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}
    assert ended.request_counts is not None
    assert ended.request_counts.failed == 47


async def test_batches_are_their_tenants_own(app: Stand) -> None:
    batch = await app.create([asking(0)])
    await app.ended(batch)
    other = app.sdk(OTHER_KEY)
    for call in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await call(batch.id)
    assert (await other.batches.list()).data == []
    with pytest.raises(openai.NotFoundError, match="no file"):
        await other.batches.create(
            input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )


async def test_lists_go_from_the_latest_on(app: Stand) -> None:
    name = await app.upload([asking(0)])
    sdk = app.sdk()
    made = [
        await sdk.batches.create(
            input_file_id=name, endpoint="/v1/chat/completions", completion_window="24h", metadata={"n": str(n)}
        )
        for n in range(5)
    ]
    listed = [batch async for batch in sdk.batches.list(limit=2)]
    assert [batch.id for batch in listed[:5]] == [batch.id for batch in reversed(made)]
    assert listed[0].metadata == {"n": "4"}
    with pytest.raises(openai.BadRequestError, match="limit"):
        await sdk.batches.list(limit=101)


async def test_wrong_requests_name_the_field(app: Stand) -> None:
    sdk, name = app.sdk(), await app.upload([asking(0)])
    wrong = {
        "endpoint": {"endpoint": "/v1/images/generations"},
        "completion_window": {"completion_window": "1h"},
        "metadata.n": {"metadata": {"n": 1}},
        "input_file_id": {"input_file_id": ""},
        "output_expires_after": {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
    }
    right = {"input_file_id": name, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for field, values in wrong.items():
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.batches.create(**{**right, **values})
        assert refused.value.param == field
    file = await sdk.files.create(file=("a.jsonl", b"{}"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="purpose batch"):
        await sdk.batches.create(**{**right, "input_file_id": file.id})
