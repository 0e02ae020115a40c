"""Items of a response, as clients see them.

Shapes: https://platform.openai.com/docs/api-reference/responses/object
"""

from typing import Any

Item = dict[str, Any]

IN_PROGRESS = "in_progress"
COMPLETED = "completed"
INCOMPLETE = "incomplete"


def text_part(text: str, logprobs: list[Any]) -> Item:
    """A part of a message: what the model says."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def refusal_part(refusal: str) -> Item:
    """A part of a message: why the model does not answer."""
    return {"type": "refusal", "refusal": refusal}


def message(name: str, status: str, content: list[Item]) -> Item:
    """What the model says to the user."""
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}


def reasoning(name: str, status: str, summary: list[Item]) -> Item:
    """What the model thought before it spoke."""
    return {"id": name, "type": "reasoning", "status": status, "summary": summary}


def summary_part(text: str) -> Item:
    """A part of the reasoning."""
    return {"type": "summary_text", "text": text}


def function_call(name: str, status: str, call_id: str, function: str, arguments: str) -> Item:
    """A function that the client shall call."""
    fields = {"call_id": call_id, "name": function, "arguments": arguments}
    return {"id": name, "type": "function_call", "status": status, **fields}
