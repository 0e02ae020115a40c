"""Responses that are kept in the process: bounded, and each tenant's own."""

from aiapp_service.responses.ids import new_response
from aiapp_service.responses.store import MOST_RECORD_BYTES, LocalResponses, Record


def record(size: int = 10) -> Record:
    return Record({"id": new_response(), "output": [{"text": "x" * size}]}, [{"text": "in"}], [{"text": "before"}])


async def test_gives_back_what_it_took_to_that_tenant_alone() -> None:
    store, kept = LocalResponses(), record()
    name = kept.response["id"]
    assert await store.write("ann", kept)
    found = (await store.read("ann", [name, "other"]))[name]
    assert found == kept
    assert [item["text"] for item in found.conversation] == ["before", "in", "x" * 10]
    assert await store.read("bob", [name]) == {}
    assert not await store.delete("bob", name)
    assert await store.delete("ann", name)
    assert await store.read("ann", [name]) == {}


async def test_items_of_backends_lead_to_their_response() -> None:
    """Their names do not tell it."""
    store = LocalResponses()
    ours = f"msg_{'0' * 32}_0"
    output = [{"id": "msg_theirs"}, {"id": ours}, {"type": "reasoning"}]
    assert await store.write("ann", Record({"id": "resp_theirs", "output": output}, []))
    assert await store.owners("ann", ["msg_theirs", ours, "msg_nobodys"]) == ["resp_theirs"]
    assert await store.owners("bob", ["msg_theirs"]) == []


async def test_the_oldest_make_room() -> None:
    size = len(record(1000).dump())
    store, records = LocalResponses(most_bytes=3 * size), [record(1000) for _ in range(5)]
    for kept in records:
        assert await store.write("ann", kept)
    names = [kept.response["id"] for kept in records]
    assert list(await store.read("ann", names)) == names[2:]
    assert await store.delete("ann", names[3])
    latest = record(1000)
    assert await store.write("ann", latest)
    expected = [names[2], names[4], latest.response["id"]]
    assert list(await store.read("ann", [*names, expected[-1]])) == expected


async def test_too_large() -> None:
    store, large = LocalResponses(), record(MOST_RECORD_BYTES)
    assert not await store.write("ann", large)
    assert await store.read("ann", [large.response["id"]]) == {}
