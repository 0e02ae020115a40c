"""The Mock provider: deterministic answers without a network, for tests, demos and developers' machines.

A chat answers with the words of the last user message; an embedding is a unit vector that follows from its text.

* `n`: each further choice begins one word later. `stop` and the limit of tokens, of which each word is one, cut.
* `tool_choice` that asks for a call, or names a function: it is called with the least arguments that fit its schema.
* `response_format`: the least value that fits a JSON schema (patterns are not looked at), or `{"text": ...}`.
* `logprobs`, `top_logprobs`: numbers that follow from the tokens.

The field `x_mock` of a request makes it slow or faulty, or lays words into its mouth:

    {"delay_seconds": 0.5,    before the answer begins
     "token_seconds": 0.05,   between the tokens of a stream
     "tokens": 40,            length of the answer, in tokens
     "tool_call": {"name": "weather", "arguments": {"city": "Oslo"}},
                              or a list of them; once results of tools are the last message, it answers in words
     "finish_reason": "content_filter",
                              instead of the one that would be right
     "cached_tokens": 3,      of the prompt, in the usage
     "reasoning_tokens": 20,  on top of the answer, in the usage
     "status": 503,           answer with this error instead; with a list like [503, 429], the first requests that
                              are the same do so, one after the other, and those after them are answered
     "retry_after": 2,        header of such errors, in seconds
     "drop_after": 3}         break off a stream after so many tokens
"""

from aiapp_service.llm.mock.upstream import MockUpstream

__all__ = ["MockUpstream"]
