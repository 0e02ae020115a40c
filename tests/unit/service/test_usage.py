"""Tokens and cost as the invoice counts them."""

from decimal import Decimal

import pytest

from aiapp_service.config import PriceConfig
from aiapp_service.llm.usage import Usage, cost_of, usage_of

PRICE = PriceConfig(input_per_1m=Decimal("0.15"), output_per_1m=Decimal("0.60"), cached_input_per_1m=Decimal("0.075"))


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 5}}, Usage(3, 5)),
        (
            {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 2},
                }
            },
            Usage(9, 7, 4, 2),
        ),
        ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, Usage(3, 0)),
        ({"usage": {"prompt_tokens": None, "completion_tokens": -1, "prompt_tokens_details": None}}, Usage()),
        ({"usage": None}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_usage_of_an_answer(document, usage):
    assert usage_of(document) == usage


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(1_000_000, 1_000_000), PRICE, Decimal("0.75")),
        (Usage(1_000_000, 0, cached=400_000), PRICE, Decimal("0.12")),
        (Usage(10, 0, cached=50), PRICE, Decimal("0.00000075")),
        (Usage(1_000_000, 0, cached=400_000), PriceConfig(input_per_1m=Decimal(1)), Decimal(1)),
        (Usage(5, 5), None, None),
    ],
)
def test_cost(usage, price, cost):
    assert cost_of(usage, price) == cost


def test_types_without_tokens_make_no_series():
    assert Usage(3, 0, 0, 1).by_type() == {"input": 3, "reasoning": 1}
