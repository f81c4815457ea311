"""Steps beside the market go on, whatever one of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from exchange.flow.background import Background

PATIENCE_S = 5.0
LONG_S = 3_600.0


async def repeated(
    step: Callable[[int], Awaitable[object]],
    times: int,
    *,
    pause_s: float = 0.0,
    hurry_s: float | None = None,
) -> list[tuple[str, str]]:
    """Repeat a step until it began so many times; gives what was told of failures."""
    told: list[tuple[str, str]] = []
    done, begun = asyncio.Event(), 0

    async def counted() -> object:
        nonlocal begun
        begun += 1
        if begun == times:
            done.set()
        return await step(begun)

    background = Background(lambda name, error: told.append((name, str(error))))
    background.begin("count", counted, pause_s, hurry_s=hurry_s)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()
    finally:
        await background.stop()
    reached = begun
    await asyncio.sleep(0)
    assert begun == reached
    return told


async def test_a_step_that_fails_is_told_and_made_again() -> None:
    async def step(number: int) -> None:
        if number == 1:
            raise RuntimeError("once")

    assert await repeated(step, 3) == [("count", "once")]


async def test_a_step_is_made_again_at_once_where_more_waits() -> None:
    async def step(number: int) -> bool:
        return True

    assert await repeated(step, 5, pause_s=LONG_S, hurry_s=0.0) == []


async def test_a_step_that_says_nothing_waits_out_its_pause() -> None:
    async def step(number: int) -> int:
        return number

    waiting = asyncio.create_task(repeated(step, 2, pause_s=LONG_S, hurry_s=0.0))
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not done


async def test_a_step_that_swallows_its_cancelling_is_the_last() -> None:
    async def step(number: int) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)

    async with asyncio.timeout(PATIENCE_S):
        assert await repeated(step, 1, pause_s=LONG_S) == []
