"""Who is asked next: without HTTP, on the event loop of each test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from regioncap.captioners.allowance import NOTHING, Allowance, HeldAllowance
from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import Sampling
from regioncap.captioners.dispatch import READY_ROWS, Dispatcher
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.limits import InFlightLimit
from regioncap.captioners.transport import Transport, open_client
from regioncap.errors import BudgetReached, CaptionerError, Stopped
from tests.support.model_servers import Bill

SAMPLING = Sampling(100, 0.0, None, {})


@asynccontextmanager
async def dispatching(*limits: int, **budget: Any) -> AsyncIterator[Dispatcher]:
    """A dispatcher over endpoints with these limits, named a, b, …, and with this budget."""
    dispatcher = Dispatcher(Budget(Bill(), **budget))
    async with open_client() as client:
        dispatcher.endpoints += [
            Endpoint(name, "m", SAMPLING, 1.0, InFlightLimit(limit), Transport(client))
            for name, limit in zip("abc", limits, strict=False)
        ]
        yield dispatcher


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine, for a minute at most."""
    asyncio.run(asyncio.wait_for(test(), 60))


async def turns() -> None:
    """Let everything that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_slots_go_to_the_least_loaded_endpoint() -> None:
    async def test() -> None:
        async with dispatching(1, 2) as dispatcher:
            given = [(await dispatcher.acquire(row)).url for row in range(3)]
            assert given == ["a", "b", "b"]
            assert dispatcher.in_flight == 3

    run(test)


def test_rows_come_first_that_came_first() -> None:
    async def test() -> None:
        async with dispatching(1) as dispatcher:
            endpoint = await dispatcher.acquire(0)
            order: list[int] = []

            async def wait(row: int) -> None:
                await dispatcher.acquire(row)
                order.append(row)
                dispatcher.release(endpoint)

            waiting = [asyncio.create_task(wait(row)) for row in (5, 3, 9, 4)]
            await turns()
            assert order == []
            dispatcher.release(endpoint)
            await asyncio.gather(*waiting)
            assert order == [3, 4, 5, 9]

    run(test)


def test_who_no_longer_waits_is_passed_over() -> None:
    async def test() -> None:
        async with dispatching(1) as dispatcher:
            endpoint = await dispatcher.acquire(0)
            gone, waiting = (asyncio.create_task(dispatcher.acquire(row)) for row in (1, 2))
            await turns()
            gone.cancel()
            await turns()
            dispatcher.release(endpoint)
            assert await waiting is endpoint
            assert dispatcher.in_flight == 1

    run(test)


def test_a_paused_endpoint_is_used_again_when_its_pause_is_over() -> None:
    async def test() -> None:
        async with dispatching(4) as dispatcher:
            dispatcher.endpoints[0].health.pause_until(time.monotonic() + 0.05)
            waiting = asyncio.create_task(dispatcher.acquire(0))
            await turns()
            assert not waiting.done()
            dispatcher.dispatch_after(0.05)
            await waiting

    run(test)


def test_a_live_endpoint_goes_before_a_dead_one() -> None:
    async def test() -> None:
        async with dispatching(1, 8) as dispatcher:
            dispatcher.endpoints[1].health.alive = False
            assert [(await dispatcher.acquire(row)).url for row in range(2)] == ["a", "b"]
            third = asyncio.create_task(dispatcher.acquire(2))
            await turns()
            assert not third.done()  # the dead one is tried by one request at a time
            third.cancel()

    run(test)


def test_more_rows_are_admitted_than_there_are_slots() -> None:
    async def test() -> None:
        async with dispatching(8) as dispatcher:
            rows = [asyncio.create_task(dispatcher.admit(row)) for row in range(100)]
            await turns()
            room = 8 * 5 // 4 + READY_ROWS
            assert [row.done() for row in rows] == [place < room for place in range(100)]
            dispatcher.leave()
            await turns()
            assert sum(row.done() for row in rows) == room + 1
            dispatcher.stop(Stopped())
            await asyncio.gather(*rows, return_exceptions=True)

    run(test)


def test_a_reached_budget_stops_those_that_wait_when_those_in_flight_are_back() -> None:
    async def test() -> None:
        async with dispatching(8, max_requests=2) as dispatcher:
            endpoint = await dispatcher.acquire(0)
            await dispatcher.acquire(1)
            waiting = asyncio.create_task(dispatcher.acquire(2))
            row = asyncio.create_task(dispatcher.admit(3))
            await turns()
            assert isinstance(dispatcher.error, BudgetReached)
            dispatcher.release(endpoint)
            await turns()
            assert not waiting.done()
            dispatcher.release(endpoint)
            for each in (waiting, row):
                with pytest.raises(BudgetReached, match="max_requests=2 is reached"):
                    await each
            with pytest.raises(BudgetReached):
                await dispatcher.admit(4)

    run(test)


def test_who_comes_as_the_last_request_ends_gets_the_error() -> None:
    async def test() -> None:
        async with dispatching(1) as dispatcher:
            endpoint = await dispatcher.acquire(0)
            dispatcher.stop(Stopped())
            coming = asyncio.create_task(dispatcher.acquire(1))
            await asyncio.sleep(0)  # what is in flight ends in the turn of the loop after the one in which it came
            dispatcher.release(endpoint)
            with pytest.raises(Stopped):
                await coming

    run(test)


def test_an_error_that_every_request_meets_is_reported_at_once() -> None:
    async def test() -> None:
        async with dispatching(1) as dispatcher:
            await dispatcher.acquire(0)
            waiting = asyncio.create_task(dispatcher.acquire(1))
            await turns()
            dispatcher.stop(CaptionerError("no such model"))
            dispatcher.stop(Stopped())
            with pytest.raises(CaptionerError, match="no such model"):
                await waiting

    run(test)


def test_what_must_go_to_one_endpoint_comes_first_within_its_limit() -> None:
    async def test() -> None:
        async with dispatching(1, 1) as dispatcher:
            first, second = dispatcher.endpoints
            second.health.ready = False
            assert await dispatcher.acquire(0) is first
            row, trial = (
                asyncio.create_task(dispatcher.acquire(1)),
                asyncio.create_task(dispatcher.acquire_at(first, -1)),
            )
            await dispatcher.acquire_at(second, -1)  # it need not be ready
            await turns()
            assert not trial.done()
            dispatcher.release(first)
            await turns()
            assert (trial.done(), row.done()) == (True, False)
            assert dispatcher.in_flight == 2
            row.cancel()

    run(test)


def test_rates_hold_for_what_must_go_to_one_endpoint() -> None:
    async def test() -> None:
        async with dispatching(8, requests_per_minute=60) as dispatcher:
            waiting = [asyncio.create_task(dispatcher.acquire_at(dispatcher.endpoints[0], -1)) for _ in range(3)]
            await turns()
            assert [each.done() for each in waiting] == [True, True, False]  # two in any two seconds
            waiting[2].cancel()

    run(test)


def test_a_slot_that_comes_when_nobody_waits_any_more_is_given_back() -> None:
    async def test() -> None:
        async with dispatching(1, max_requests=2) as dispatcher:
            (endpoint,) = dispatcher.endpoints
            await dispatcher.acquire(0)
            gone = asyncio.create_task(dispatcher.acquire_at(endpoint, -1))
            await turns()
            dispatcher.release(endpoint)  # which gives the slot on
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert dispatcher.in_flight == 0
            await dispatcher.acquire(1)  # and what was reserved is free

    run(test)


def test_what_needs_no_slot_is_wanted_and_ends_with_the_budget() -> None:
    async def test() -> None:
        allowance = HeldAllowance(NOTHING)
        async with dispatching(1, allowance=allowance) as dispatcher:
            allowance.wanted = lambda: dispatcher.wanted
            waiting = asyncio.create_task(dispatcher.wait_beside())
            await turns()
            assert allowance.replace(Allowance(1, 0)).wanted == 1
            await waiting
            assert dispatcher.wanted == 0
            allowance.replace(Allowance(1, 0, "max_requests=1 is reached"))
            with pytest.raises(BudgetReached, match=r"^max_requests=1 is reached"):
                await dispatcher.wait_beside()

    run(test)
