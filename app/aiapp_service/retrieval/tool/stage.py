"""The stage: a request with the tool `file_search` becomes several of a model, which outer stages see as one.

Each round is a call of its own, whose usage and cost add up. No answer of it is kept in a cache: it follows from files.
"""

from typing import TYPE_CHECKING

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Stage

if TYPE_CHECKING:
    from aiapp_service.retrieval.service import VectorStores

_NAME = "file_search"


def searching(stores: "VectorStores | None") -> Stage:
    """Runs the searches of the model in `stores`."""

    async def search(exchange: Exchange, following: Next) -> Outcome:
        tools = exchange.body.get("tools")
        if not tools or exchange.endpoint is not Endpoint.CHAT or not _searches(tools):
            return await following(exchange)
        if stores is None:
            message = "file_search needs vector stores, and these PostgreSQL: give the app one with spec.postgres"
            raise ApiError(501, message, type_="server_error", param="tools", code="vector_stores_not_kept")
        # Nothing of it is loaded for who does not use it.
        from aiapp_service.retrieval.tool.rounds import Rounds  # noqa: PLC0415  # for a light start
        from aiapp_service.retrieval.tool.stream import streamed  # noqa: PLC0415  # for a light start
        from aiapp_service.retrieval.tool.whole import whole  # noqa: PLC0415  # for a light start

        rounds = await Rounds.of(exchange, following, stores)
        return await (streamed if exchange.streamed else whole)(rounds)

    return search


def _searches(tools: object) -> bool:
    return isinstance(tools, list) and any(isinstance(tool, dict) and tool.get("type") == _NAME for tool in tools)
