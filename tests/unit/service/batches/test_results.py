import json

from aiapp_service.batches.results import answered, not_answered
from aiapp_service.config import LimitScope, RateLimitConfig
from aiapp_service.pipeline.principal import NOBODY, Principal, dumped, principal_of


def test_an_answer_is_passed_on_as_it_is():
    body = b'{"id": "c",  "x_vendor": 1.50}'
    line = answered("batch_1", 3, 'a"b', 200, "batch_1_3", body)
    assert body in line
    assert json.loads(line) == {
        "id": "batch_req_1_3",
        "custom_id": 'a"b',
        "response": {"status_code": 200, "request_id": "batch_1_3", "body": {"id": "c", "x_vendor": 1.5}},
        "error": None,
    }


def test_an_answer_of_several_lines_becomes_one():
    line = answered("batch_1", 3, "a", 200, "r", b'{\n  "text": "one\\ntwo"\r\n}')
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line)["response"]["body"] == {"text": "one\ntwo"}


def test_what_was_not_asked_says_why():
    line = json.loads(not_answered("batch_1", 3, "a", "batch_expired", "too late"))
    assert (line["response"], line["error"]) == (None, {"code": "batch_expired", "message": "too late"})


def test_a_principal_comes_back_as_it_was():
    limits = RateLimitConfig(requests_per_minute=3, per=LimitScope.KEY)
    for principal in (NOBODY, Principal("k", "t", "u", "10.0.0.1", frozenset({"b", "a"}), limits)):
        assert principal_of(json.loads(json.dumps(dumped(principal)))) == principal
