"""One leads, the others wait."""

import asyncio

from aiapp_service.cache.flights import Flights, Lead
from aiapp_service.cache.stored import Stored

KEY = b"k"
ANSWER = Stored(b"{}", None, 0.0)


async def waiting(flights: Flights, count: int, seconds: float = 10.0) -> list[asyncio.Task[Stored | Lead | None]]:
    tasks = [asyncio.create_task(flights.join(KEY, seconds)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def lead(flights: Flights, key: bytes = KEY) -> Lead:
    found = await flights.join(key, 10.0)
    assert isinstance(found, Lead)
    return found


async def test_answer_is_everybodys_also_of_those_who_come_until_it_is_written() -> None:
    flights = Flights()
    first = await lead(flights)
    tasks = await waiting(flights, 3)
    first.hand_over()
    first.leave()
    first.share(ANSWER)
    assert await asyncio.gather(*tasks) == [ANSWER] * 3
    assert await flights.join(KEY, 10.0) is ANSWER
    first.close()
    assert isinstance(await flights.join(KEY, 10.0), Lead)


async def test_who_leads_may_leave_and_one_of_the_others_leads() -> None:
    flights = Flights()
    first = await lead(flights)
    tasks = await waiting(flights, 3)
    first.leave()
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    second = next(iter(done)).result()
    assert isinstance(second, Lead)
    assert len(pending) == 2
    second.share(ANSWER)
    assert await asyncio.gather(*pending) == [ANSWER] * 2


async def test_what_cannot_be_shared_lets_all_go() -> None:
    flights = Flights()
    first = await lead(flights)
    tasks = await waiting(flights, 3)
    first.close()
    assert await asyncio.gather(*tasks) == [None] * 3


async def test_nobody_waits_for_ever_and_waiting_may_be_given_up() -> None:
    flights = Flights()
    first = await lead(flights)
    assert await flights.join(KEY, 0.01) is None
    given_up, stays = await waiting(flights, 2)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    first.share(ANSWER)
    assert await stays is ANSWER


async def test_other_requests_do_not_wait() -> None:
    flights = Flights()
    await lead(flights)
    await lead(flights, b"other")
