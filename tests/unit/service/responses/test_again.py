"""A conversation as it is sent again to a backend that has kept nothing of it."""

from typing import Any

import pytest

from aiapp_service.responses.again import again

CALL = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        ({"role": "user", "content": "Hello"}, [{"role": "user", "content": "Hello"}]),
        (
            {"id": "msg_1", "type": "message", "role": "user", "status": "completed", "content": [{"type": "x"}]},
            [{"type": "message", "role": "user", "content": [{"type": "x"}]}],
        ),
        (
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "phase": "final",
                "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            },
            [{"type": "message", "role": "assistant", "phase": "final", "content": "ab"}],
        ),
        ({"id": "fc_1", "status": "completed", **CALL}, [CALL]),
        ({"id": "rs_1", "type": "reasoning", "summary": []}, []),
        (
            {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "e"},
            [{"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "e"}],
        ),
        (SEARCH, [SEARCH]),
        ({"id": "fs_1", "type": "file_search_call", "queries": ["q"]}, []),
    ],
)
def test_what_only_its_maker_could_look_up_is_left_out(item: dict[str, Any], sent: list[dict[str, Any]]) -> None:
    assert again([item]) == sent
