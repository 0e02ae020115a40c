"""How a request for a response is asked: as it is, where a backend has this API, else as a chat."""

from collections.abc import Mapping
from typing import Any

from aiapp_service.gateway import Running
from aiapp_service.llm.route import Route
from aiapp_service.pipeline.call import Call
from aiapp_service.responses.relay import Relay, may_relay
from aiapp_service.responses.request import Given
from aiapp_service.responses.turn import Turn


async def turn_of(running: Running, route: Route, body: Mapping[str, Any], call: Call) -> Turn | Relay:
    """The stage and face of `body`.

    Raises:
        ApiError: something in it is wrong, or not supported.
        StoreDown: a response that it goes on with cannot be looked up.
    """
    given = Given.of(body)
    records = await given.records(running.responses, call.principal.tenant)
    if may_relay(route, body):
        return Relay(given, records, call, running.responses)
    return Turn(given.asked(records), call, running.responses)
