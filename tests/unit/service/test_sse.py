"""Events come out whole, wherever the chunks of the stream begin and end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiapp_service.llm.sse import MOST_BYTES, EventTooLong, Splitter, data_of, event_of


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_every_kind_of_blank_line_ends_an_event(blank):
    splitter = Splitter()
    assert list(splitter.feed(b"data: a" + blank + b"data: b")) == [b"data: a" + blank]
    assert splitter.rest == b"data: b"


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b'data: {"a":1}\n\n', b'{"a":1}'),
        (b"data:no space\n\n", b"no space"),
        (b"data:  two spaces\n\n", b" two spaces"),
        (b"event: x\nid: 1\ndata: one\ndata: two\n\n", b"one\ntwo"),
        (b": ping\n\n", b""),
        (b"data: crlf\r\n\r\n", b"crlf"),
    ],
)
def test_data_of_an_event(event, data):
    assert data_of(event) == data


_TEXTS = st.lists(
    st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20), max_size=8
)


@given(texts=_TEXTS, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_gives_the_same_events(texts, cuts):
    whole = b"".join(event_of(text.encode()) for text in texts)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    splitter = Splitter()
    events = [event for a, b in pairwise(edges) for event in splitter.feed(whole[a:b])]
    assert [data_of(event).decode() for event in events] == texts
    assert b"".join(events) == whole
    assert splitter.rest == b""


def test_an_event_without_end_is_given_up():
    splitter = Splitter()
    list(splitter.feed(b"x" * MOST_BYTES))
    with pytest.raises(EventTooLong):
        list(splitter.feed(b"x"))
