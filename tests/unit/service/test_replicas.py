"""Which replica serves a conversation."""

from collections import Counter

import pytest

from aiapp_service.llm.replicas import ReplicaSet, conversation_key, is_name, one_family, refresh, resolve
from aiapp_service.llm.standing import Turn
from aiapp_service.llm.upstream import BackendError, Reason

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")


class Somewhere:
    adds_usage = True

    def __init__(self, url):
        self.url = url


def replica_set(*addresses, url="http://llama.team.svc:8000/v1"):
    found = ReplicaSet(url, Somewhere)
    found.take(addresses)
    return found


def key(number):
    return conversation_key({"messages": [{"role": "user", "content": f"conversation {number}"}]}, "")


def first(replicas, number, now=0.0):
    return replicas.order(key(number), now)[0].address


def test_same_conversation_same_replica_and_all_have_their_share():
    replicas = replica_set(*ADDRESSES)
    found = Counter(first(replicas, number) for number in range(2000))
    assert set(found) == set(ADDRESSES)
    assert max(found.values()) < 1.3 * 2000 / 4
    assert all(first(replicas, n) == first(replica_set(*reversed(ADDRESSES)), n) for n in range(100))


def test_one_that_goes_moves_only_its_own_conversations():
    before, after = replica_set(*ADDRESSES), replica_set(*ADDRESSES[:3])
    for number in range(500):
        if first(before, number) != ADDRESSES[3]:
            assert first(before, number) == first(after, number)


def test_spills_when_much_busier_than_the_others():
    replicas = replica_set(*ADDRESSES)
    chosen, following = replicas.order(key(1), 0.0)[:2]
    chosen.load.in_flight = 4
    assert replicas.order(key(1), 0.0)[0] is chosen, "a few more are no crowd"
    chosen.load.in_flight = 20
    assert replicas.order(key(1), 0.0)[0] is following
    for replica in replicas.replicas:
        replica.load.in_flight = 20
    assert replicas.order(key(1), 0.0)[0] is chosen, "all are as busy"


def test_one_that_rests_comes_last():
    replicas = replica_set(*ADDRESSES)
    chosen = replicas.order(key(1), 0.0)[0]
    chosen.standing.failed(Turn(0.0), BackendError(Reason.CONNECT, "gone"), 0.0)
    assert replicas.order(key(1), 0.5)[-1] is chosen
    assert replicas.order(key(1), 1.5)[0] is chosen


def test_what_is_known_of_those_that_stay_is_kept():
    replicas = replica_set(*ADDRESSES)
    before = {replica.address: replica for replica in replicas.replicas}
    replicas.take([*ADDRESSES[1:], "10.0.0.9"])
    assert [r.address for r in replicas.replicas] == [*ADDRESSES[1:], "10.0.0.9"]
    assert all(before[r.address] is r for r in replicas.replicas[:3])


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        ("http://llama:8000/v1", "10.0.0.1", "http://10.0.0.1:8000/v1"),
        ("http://llama/v1", "10.0.0.1", "http://10.0.0.1/v1"),
        ("http://llama:8000/v1", "fd00::1", "http://[fd00::1]:8000/v1"),
    ],
)
def test_urls_of_replicas(url, address, expected):
    assert replica_set(address, url=url).replicas[0].upstream.url == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://llama:8000/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("https://llama:8000/v1", False),
    ],
)
def test_what_may_be_several(url, expected):
    assert is_name(url) is expected


SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([SYSTEM, HELLO], [SYSTEM, HELLO, ANSWER, {"role": "user", "content": "More"}], True),
        ([HELLO], [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}], True),
        ([SYSTEM, HELLO], [HELLO], False),
        ([HELLO], [{"role": "user", "content": "Bye"}], False),
        ([], [None, "x", {}], False),
    ],
)
def test_a_conversation_is_known_by_its_beginning(one, other, same):
    assert (conversation_key({"messages": one}, "") == conversation_key({"messages": other}, "")) is same


def test_a_response_belongs_to_the_conversation_of_the_same_chat():
    chat = conversation_key({"messages": [{"role": "system", "content": "Brief."}, HELLO]}, "")
    text = HELLO["content"]
    later = [{"role": "user", "content": [{"type": "input_text", "text": text}]}, {"role": "assistant", "content": "x"}]
    assert conversation_key({"instructions": "Brief.", "input": text}, "") == chat
    assert conversation_key({"instructions": "Brief.", "input": later}, "") == chat
    assert conversation_key({"instructions": "Long.", "input": text}, "") != chat


def test_tenants_are_kept_apart():
    body = {"messages": [HELLO]}
    assert conversation_key(body, "a") != conversation_key(body, "b")


async def test_last_known_addresses_count_while_the_name_does_not_resolve():
    replicas = ReplicaSet("http://llama:8000/v1", Somewhere)
    answers = iter([ADDRESSES[:2], OSError("no such host"), (), ADDRESSES[2:]])

    async def resolving(host):
        assert host == "llama"
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    seen = []
    for _ in range(4):
        await refresh([replicas], resolving)
        seen.append(tuple(replica.address for replica in replicas.replicas))
    assert seen == [ADDRESSES[:2]] * 3 + [ADDRESSES[2:]]


def test_the_name_of_the_pods_may_be_another_one():
    assert ReplicaSet("http://llama:8000/v1", Somewhere).host == "llama"
    replicas = ReplicaSet("http://llama:8000/v1", Somewhere, "llama-pods")
    assert (replicas.host, replicas.balanced) == ("llama-pods", True)


def test_a_server_with_two_kinds_of_addresses_is_one():
    assert one_family(["::1", "127.0.0.1"]) == ["127.0.0.1"]
    assert one_family(["fd00::1", "fd00::2"]) == ["fd00::1", "fd00::2"]


async def test_names_are_resolved_by_the_system():
    assert await resolve("127.0.0.7") == ["127.0.0.7"]
    with pytest.raises(OSError, match=r".+"):
        await resolve("nowhere.invalid")
