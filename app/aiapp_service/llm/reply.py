"""Reading a whole answer, or the failure that it is."""

import asyncio

from aiapp_service.llm.failures import failure_of, has_words
from aiapp_service.llm.upstream import BackendError, Reason, Reply

MOST_ANSWER_BYTES = 64 * 1024 * 1024
# What is read of a 429 for its words, and for how long: it must not keep the next backend waiting.
_MOST_WORDS_BYTES = 64 * 1024
_WORDS_SECONDS = 1.0


async def read(reply: Reply) -> bytes:
    """The body of an answer that is one for the client.

    Raises:
        BackendError: another backend may do better.
    """
    if reply.status == 200:
        return await _all_of(reply)
    if not has_words(reply.status):
        content = b""
    elif reply.status == 429:
        content = await _words(reply)
    else:
        content = await _all_of(reply)
    failure = failure_of(reply.status, reply.retry_after, reply.content_type, content)
    if failure is not None:
        raise failure
    return content if has_words(reply.status) else await _all_of(reply)


async def _all_of(reply: Reply) -> bytes:
    content = bytearray()
    async for chunk in reply.chunks():
        content += chunk
        if len(content) > MOST_ANSWER_BYTES:
            raise BackendError(Reason.BROKEN, f"answered with more than {MOST_ANSWER_BYTES} bytes")
    return bytes(content)


async def _words(reply: Reply) -> bytes:
    """The body of a failure, as far as it comes."""
    content = bytearray()
    try:
        async with asyncio.timeout(_WORDS_SECONDS):
            async for chunk in reply.chunks():
                content += chunk
                if len(content) > _MOST_WORDS_BYTES:
                    break
    except (TimeoutError, BackendError):
        return bytes(content)
    return bytes(content)
