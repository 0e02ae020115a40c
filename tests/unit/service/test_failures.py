"""What answers of backends mean, in the words that they really use."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from aiapp_service.llm.failures import TooLong, failure_of, retry_seconds
from aiapp_service.llm.upstream import Reason


def openai(message, code=None, type_="invalid_request_error"):
    return json.dumps({"error": {"message": message, "type": type_, "param": "messages", "code": code}}).encode()


TOO_LONG = {
    "openai": openai(
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "context_length_exceeded",
    ),
    "openai responses": openai("Your input exceeds the context window of this model. Please adjust your input."),
    "vllm": json.dumps(
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }
    ).encode(),
    "vllm v1": openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 400),
    "llama.cpp": json.dumps(
        {
            "error": {
                "code": 400,
                "message": "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 5000,
                "n_ctx": 4096,
            }
        }
    ).encode(),
    "anthropic": json.dumps(
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "prompt is too long: 208310 tokens > 200000 maximum",
            },
        }
    ).encode(),
    "anthropic with max_tokens": openai("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"),
    "sglang": openai("The input (5000 tokens) is longer than the model's context length (4096 tokens).", 400),
    "google": openai("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 400),
}


@pytest.mark.parametrize("body", TOO_LONG.values(), ids=TOO_LONG)
def test_too_long_in_each_ones_words(body):
    failure = failure_of(400, None, "application/json", body)
    assert isinstance(failure, TooLong)
    assert (failure.reason, failure.status, failure.content) == (Reason.CONTEXT_LENGTH, 400, body)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, openai("Invalid value for 'temperature'"), None),
        (400, openai("max_tokens is too large: at most 4096"), None),
        (422, b'{"detail": "field required"}', None),
        (200, openai("", "context_length_exceeded"), None),
        (401, b"", Reason.REFUSED_KEY),
        (402, b"", Reason.OUT_OF_QUOTA),
        (403, b"", Reason.REFUSED_KEY),
        (404, b"", Reason.MODEL_MISSING),
        (408, b"", Reason.TIMEOUT),
        (429, openai("Rate limit reached for gpt-4o-mini", "rate_limit_exceeded"), Reason.RATE_LIMITED),
        (429, openai("You exceeded your current quota", "insufficient_quota"), Reason.OUT_OF_QUOTA),
        (400, openai("Your credit balance is too low to access the Anthropic API."), Reason.OUT_OF_QUOTA),
        (400, openai("Invalid: {'input': 'Your credit balance is too low'}"), None),
        (400, b'{"detail": {"message": "Your credit balance is too low"}}', None),
        (400, openai("Invalid: 'insufficient_quota'"), None),
        (403, openai("Your input was flagged by moderation"), None),
        (500, openai("insufficient_quota"), Reason.SERVER_ERROR),
        (503, b"", Reason.SERVER_ERROR),
        (504, b"", Reason.TIMEOUT),
        (529, b"", Reason.SERVER_ERROR),
        (302, b"", Reason.BROKEN),
    ],
)
def test_reason_by_status_and_words(status, body, reason):
    failure = failure_of(status, None, "application/json", body)
    assert (failure.reason if failure is not None else None) == reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("17", 17.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after(header, seconds):
    assert retry_seconds(header) == seconds


def test_retry_after_as_a_date():
    at = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_seconds(format_datetime(at, usegmt=True)) == pytest.approx(90, abs=5)
