"""What a request took is counted, however it ends."""

from aiapp_service import assembly
from aiapp_service.config import mock_config
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Streaming
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics

HELLO = [{"role": "user", "content": "Hello, how are you?"}]


async def test_stream_that_is_left_between_two_writes_is_counted() -> None:
    """Nobody ends the iteration then: what it noted at its end would come too late."""
    async with client_session() as session:
        around = Surroundings(session, Metrics())
        running = assembly.gateway(mock_config(), around).current
        call = Call("left")
        body = {"model": "chat", "messages": HELLO, "stream": True}
        exchange = Exchange(call, running.router.routes["chat"], Endpoint.CHAT, body)
        async with exchange.cleanup:
            outcome = await running.run(exchange)
            assert isinstance(outcome, Streaming)
            await anext(outcome.events)
        assert call.usage == Usage(input=5, output=2)
        assert call.estimated
