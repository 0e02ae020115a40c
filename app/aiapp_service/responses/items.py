"""Items of a response, as clients see them.

Shapes: https://platform.openai.com/docs/api-reference/responses/object
"""

from typing import Any

from aiapp_service.retrieval.tool.calls import SearchCall

Item = dict[str, Any]

IN_PROGRESS = "in_progress"
COMPLETED = "completed"
INCOMPLETE = "incomplete"
SEARCHING = "searching"
FAILED = "failed"


def text_part(text: str, logprobs: list[Any], annotations: list[Item] | None = None) -> Item:
    """A part of a message: what the model says, and where it has that from."""
    return {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": logprobs}


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


def file_search_call(name: str, status: str, call: SearchCall, *, results: bool) -> Item:
    """A search in files, which we have run for the model."""
    found = call.results() if results else None
    return {"id": name, "type": "file_search_call", "status": status, "queries": list(call.queries), "results": found}


def status_of(call: SearchCall) -> str:
    """How a search has ended."""
    return FAILED if call.failed else COMPLETED


def function_call(name: str, status: str, call_id: str, function: str, arguments: str) -> Item:
    """A function that the client shall call."""
    fields = {"call_id": call_id, "name": function, "arguments": arguments}
    return {"id": name, "type": "function_call", "status": status, **fields}
