"""Tokens and cost as the invoice counts them."""

from decimal import Decimal

import pytest

from aiapp_service.config import LongContextPrices, PriceConfig
from aiapp_service.llm.usage import Usage, cost_of, usage_of

PRICE = PriceConfig(input_per_1m=Decimal("0.15"), output_per_1m=Decimal("0.60"), cached_input_per_1m=Decimal("0.075"))
FULL = PriceConfig(
    input_per_1m=Decimal(1),
    output_per_1m=Decimal(10),
    cached_input_per_1m=Decimal("0.1"),
    cache_write_per_1m=Decimal("1.25"),
    audio_input_per_1m=Decimal(40),
    audio_output_per_1m=Decimal(80),
    reasoning_per_1m=Decimal(3),
)
TIERED = PriceConfig(
    input_per_1m=Decimal(1),
    output_per_1m=Decimal(10),
    long_context=LongContextPrices(over_tokens=200_000, input_per_1m=Decimal(2), output_per_1m=Decimal(15)),
)
MILLION = 1_000_000


def chat(asked: object, answered: object, **more: object) -> dict[str, object]:
    return {"usage": {"prompt_tokens": asked, "completion_tokens": answered, **more}}


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        pytest.param(chat(3, 5, total_tokens=8), Usage(3, 5), id="chat"),
        pytest.param(
            chat(
                90,
                70,
                total_tokens=160,
                prompt_tokens_details={"cached_tokens": 40, "audio_tokens": 11},
                completion_tokens_details={"reasoning_tokens": 20, "audio_tokens": 6, "accepted_prediction_tokens": 0},
            ),
            Usage(90, 70, cached=40, reasoning=20, audio_input=11, audio_output=6),
            id="chat with details",
        ),
        pytest.param(
            {
                "usage": {
                    "input_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens": 7,
                    "output_tokens_details": {"reasoning_tokens": 2},
                    "total_tokens": 16,
                }
            },
            Usage(9, 7, 4, 2),
            id="responses",
        ),
        pytest.param(
            {"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 7}}},
            Usage(9, 7),
            id="responses, streamed",
        ),
        pytest.param({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, Usage(3, 0), id="embeddings"),
        pytest.param(
            chat(3, 5, total_tokens=8, prompt_tokens_details=None, completion_tokens_details=None),
            Usage(3, 5),
            id="vLLM",
        ),
        pytest.param(
            {**chat(3, 5, prompt_tokens_details={"cached_tokens": None}), "timings": {"prompt_n": 1}},
            Usage(3, 5),
            id="llama.cpp",
        ),
        pytest.param(chat(3.0, 5.0), Usage(3, 5), id="counts that are floats"),
        pytest.param(
            chat(10, 5, prompt_cache_hit_tokens=8, prompt_cache_miss_tokens=2), Usage(10, 5, 8), id="DeepSeek"
        ),
        pytest.param({"choices": [{"delta": {}, **chat(10, 5, cached_tokens=8)}]}, Usage(10, 5, 8), id="Moonshot"),
        pytest.param({"choices": [], "x_groq": chat(10, 5)}, Usage(10, 5), id="Groq"),
        pytest.param(
            chat(10, 5, total_tokens=45, completion_tokens_details={"reasoning_tokens": 30}),
            Usage(10, 35, reasoning=30),
            id="xAI: thoughts beside the completion",
        ),
        pytest.param(
            chat(10, 5, total_tokens=45), Usage(10, 35, reasoning=30), id="Gemini: thoughts in the total only"
        ),
        pytest.param(
            {
                "usage": {
                    "input_tokens": 3,
                    "cache_read_input_tokens": 50,
                    "cache_creation_input_tokens": 20,
                    "output_tokens": 7,
                }
            },
            Usage(73, 7, cached=50, cache_write=20),
            id="Anthropic: cached beside the input",
        ),
        pytest.param(
            chat(73, 7, cache_read_input_tokens=50, cache_creation_input_tokens=20, total_tokens=80),
            Usage(73, 7, cached=50, cache_write=20),
            id="Anthropic, as proxies translate it",
        ),
        pytest.param(
            chat(73, 7, prompt_tokens_details={"cached_tokens": 50, "cache_write_tokens": 20}),
            Usage(73, 7, cached=50, cache_write=20),
            id="cache writes in the details",
        ),
        pytest.param(chat(None, 5), Usage(0, 5), id="half of it null"),
        pytest.param(chat(3, -1, total_tokens="many"), Usage(3, 0), id="nonsense is 0"),
        pytest.param(chat(True, 10**30), None, id="nonsense only"),
        pytest.param(chat(None, None, prompt_tokens_details=None), None, id="a placeholder"),
        pytest.param({"usage": {}}, None, id="empty"),
        pytest.param({"usage": None, "choices": None}, None, id="null"),
        pytest.param({"usage": [1], "choices": ["x"]}, None, id="of another type"),
        pytest.param({}, None, id="nothing"),
        pytest.param([], None, id="a list"),
        pytest.param(None, None, id="no JSON"),
    ],
)
def test_usage_of_an_answer(document, usage):
    assert usage_of(document) == usage


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(MILLION, MILLION), PRICE, Decimal("0.75")),
        (Usage(MILLION, 0, cached=400_000), PRICE, Decimal("0.12")),
        (Usage(10, 0, cached=50), PRICE, Decimal("0.00000075")),
        (Usage(MILLION, 0, cached=400_000), PriceConfig(input_per_1m=Decimal(1)), Decimal(1)),
        (Usage(MILLION, MILLION, reasoning=MILLION, audio_input=MILLION), PRICE, Decimal("0.75")),
        (Usage(MILLION, 0, cache_write=MILLION), FULL, Decimal("1.25")),
        (Usage(4 * MILLION, 0, cached=MILLION, cache_write=MILLION, audio_input=MILLION), FULL, Decimal("42.35")),
        (Usage(0, 3 * MILLION, reasoning=MILLION, audio_output=MILLION), FULL, Decimal(93)),
        (Usage(0, MILLION, reasoning=MILLION, audio_output=MILLION), FULL, Decimal(80)),
        (Usage(200_000, 100_000), TIERED, Decimal("1.2")),
        (Usage(200_001, 100_000), TIERED, Decimal("1.900002")),
        (Usage(5, 5), None, None),
        (Usage(), PRICE, Decimal(0)),
    ],
)
def test_cost(usage, price, cost):
    assert cost_of(usage, price) == cost


def test_types_without_tokens_make_no_series():
    assert Usage(3, 0, 0, 1).by_type() == {"input": 3, "reasoning": 1}
    assert set(Usage(*[1] * 7).by_type()) == {
        "input",
        "output",
        "cached",
        "reasoning",
        "cache_write",
        "audio_input",
        "audio_output",
    }
