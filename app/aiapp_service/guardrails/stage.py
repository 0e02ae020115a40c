"""The stage of the pipeline: looks at requests on their way in, and at answers on their way out."""

from collections.abc import Sequence

from aiapp_service.guardrails import report, responses, stream, texts, whole
from aiapp_service.guardrails.chain import Chain
from aiapp_service.guardrails.passage import Guardrail, Place, Unavailable
from aiapp_service.http.errors import bad_request
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Stage, Streaming, Whole

_VARIABLE = Place("user", "variable")


def guarding(inputs: Sequence[Guardrail], outputs: Sequence[Guardrail]) -> Stage:
    """Guardrails for requests and for answers, each in their order; without `outputs` answers pass untouched."""

    async def guard(exchange: Exchange, following: Next) -> Outcome:
        try:
            if inputs:
                await _request(exchange, inputs)
            outcome = await following(exchange)
            if not outputs or exchange.endpoint is Endpoint.EMBEDDINGS:
                return outcome
            is_response = exchange.endpoint is Endpoint.RESPONSES
            if isinstance(outcome, Whole):
                guarded = responses.whole if is_response else whole.guarded
                return await guarded(outcome, outputs, exchange.call)
        except Unavailable as error:
            raise report.unavailable(error) from error
        if is_response:
            events = responses.stream(outcome.events, outputs)
        else:
            wanted = exchange.body.get("n")
            events = stream.guarded(outcome.events, outputs, wanted if isinstance(wanted, int) else 1)
        exchange.cleanup.push_async_callback(events.aclose)
        return Streaming(events)

    return guard


async def _request(exchange: Exchange, guardrails: Sequence[Guardrail]) -> None:
    param = "messages" if exchange.endpoint is Endpoint.CHAT else "input"
    slots = list(texts.of_request(exchange.body, exchange.endpoint))
    if not slots and exchange.endpoint is Endpoint.EMBEDDINGS:
        raise bad_request("input has to be text: the guardrails of this service do not read tokens", param)
    chain = Chain(guardrails)
    results = await chain.whole((slot.place, slot.text) for slot in slots)
    _judge(exchange, chain, param)
    if exchange.variables:
        # They may have become part of what a system message says.
        distrustful = Chain([guardrail for guardrail in guardrails if guardrail.distrusts])
        await distrustful.whole((_VARIABLE._replace(number=n), text) for n, text in enumerate(exchange.variables))
        _judge(exchange, distrustful, "prompt.variables")
    for slot, text in zip(slots, results, strict=True):
        if text != slot.text:
            slot.put(text)


def _judge(exchange: Exchange, chain: Chain, param: str) -> None:
    report.note(exchange.call, chain.violations)
    if chain.blocked:
        raise report.blocked(chain.blocked, param)
