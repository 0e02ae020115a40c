import re

from hypothesis import given
from hypothesis import strategies as st

from aiapp_operator.build.digest import digest


@given(st.dictionaries(st.text(), st.integers()))
def test_a_digest_is_text_for_every_reader_of_yaml(value):
    assert re.fullmatch(r"[b-df-hj-np-t]{8}", digest(value))


def test_order_does_not_matter_and_content_does():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest([1, 2]) != digest([2, 1])
