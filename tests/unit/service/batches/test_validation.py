import json

import pytest

from aiapp_service.batches.validation import WrongLine, parse

URL = "/v1/chat/completions"
RIGHT = {"custom_id": "a", "method": "POST", "url": URL, "body": {"model": "chat"}}


def test_a_right_line():
    line = parse(3, json.dumps(RIGHT).encode(), URL)
    assert (line.number, line.custom_id, line.body) == (3, "a", {"model": "chat"})


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"custom_id": None}, "invalid_custom_id", "custom_id"),
        ({"custom_id": ""}, "invalid_custom_id", "custom_id"),
        ({"custom_id": "x" * 513}, "invalid_custom_id", "custom_id"),
        ({"method": "GET"}, "invalid_method", "method"),
        ({"url": "/v1/embeddings"}, "invalid_url", "url"),
        ({"url": None}, "invalid_url", "url"),
        ({"body": []}, "invalid_body", "body"),
        ({"extra": 1}, "unknown_field", "extra"),
    ],
)
def test_what_is_wrong_is_named(change, code, param):
    with pytest.raises(WrongLine) as error:
        parse(1, json.dumps({**RIGHT, **change}).encode(), URL)
    assert (error.value.code, error.value.param) == (code, param)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b'"text"', b"\xff", b'{"a": NaN}', b"[" * 5000])
def test_what_is_no_object_is_no_line(text):
    with pytest.raises(WrongLine) as error:
        parse(1, text, URL)
    assert error.value.code == "invalid_json_line"
